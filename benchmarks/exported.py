"""A bank of 20,000 vectors, exported: time a picture and peak memory of batches of 8.

Model and files run in a process of their own each, the files without torch.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.processes import in_own_process

if TYPE_CHECKING:
    from softpatch import PatchCore
    from softpatch.export.graph import Precision

BANK = 20_000
TRAINED = 30  # pictures, of 784 patches
BATCH = 8
ROUNDS = 3
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
Run = Callable[[npt.NDArray[np.uint8]], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a category in MVTec layout, of equal sizes")
    parser.add_argument("--threads", type=int, help="that compute; all cores if not given")
    parser.add_argument("--run", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        path, pictures = options.run
        measure(path, pictures, options.threads)
        return

    from benchmarks.pictures import DATA, training_and_test
    from softpatch.export import export_model
    from softpatch.runtime.images import read_levels

    train, test = training_and_test(options.data or DATA / "mvtec_bottle", TRAINED)
    with tempfile.TemporaryDirectory() as scratch:
        batch = Path(scratch) / "batch.npy"
        np.save(batch, np.stack([read_levels(path)[0] for path in test[:BATCH]]))
        model = Path(scratch) / "part.softpatch"
        filled(train).save(model)
        files = []
        for precision in PRECISIONS:
            for suffix in (".onnx", ".xml"):
                file = Path(scratch) / f"{precision}{suffix}"
                export_model(model, file, pictures=[], precision=precision, calibration=train)
                files.append(file)
        threads = [] if options.threads is None else ["--threads", str(options.threads)]
        paths = os.pathsep.join(sys.path)
        busy = 0.0  # the model's time of the processor
        for path in (model, *files):
            run = ["--run", str(path), str(batch), *threads]
            took = in_own_process("benchmarks.exported", *run, PYTHONPATH=paths)
            singly, together = took["singly"], took["together"]
            busy = busy or singly[1]
            print(
                f"{path.name}: {singly[0]:.0f} ms a picture, {together[0]:.0f} in batches of "
                f"{BATCH} (of the processor {singly[1]:.0f}, {together[1]:.0f}; the model's "
                f"{singly[1] / busy:.2f}); peak memory {took['peak_mb']:.0f} MB",
                flush=True,
            )


def filled(train: list[Path]) -> PatchCore:
    """A detector with a full bank; which of the patches are in it does not matter here."""
    from dataclasses import replace

    import torch

    from benchmarks.pictures import EARLIER, read_batches
    from softpatch import PatchCore
    from softpatch.bank.memory_bank import MemoryBank

    detector = PatchCore(**EARLIER, coreset_ratio=1e-9, max_false_alarms=None).fit(train)
    extractor = detector.extractor
    batches = read_batches(train, detector.preprocessing, BATCH)
    vectors = torch.cat([extractor(batch).flatten(0, 2) for batch in batches])[:BANK].clone()
    bank = MemoryBank(vectors, torch.ones(len(vectors)))
    detector._learned = replace(detector.learned_, bank=bank)
    return detector


def measure(path: Path, pictures: Path, threads: int | None) -> None:
    """Print one model's or file's time and peak memory as JSON."""
    from benchmarks.machine import peak_memory_mb

    batch = np.load(pictures)
    opened = of_model if path.suffix == ".softpatch" else of_file
    run = opened(path, threads)
    run(batch)
    singly = median_ms(lambda: [run(batch[at : at + 1]) for at in range(BATCH)])
    together = median_ms(lambda: run(batch))
    print(json.dumps({"singly": singly, "together": together, "peak_mb": peak_memory_mb()}))


def of_model(path: Path, threads: int | None) -> Run:
    import torch

    from softpatch import load

    if threads is not None:
        torch.set_num_threads(threads)
    detector = load(path)
    return lambda images: list(detector.predict(list(images)))


def of_file(path: Path, threads: int | None) -> Run:
    from softpatch.runtime.engine import open_model

    return open_model(path, threads)[0]


def median_ms(work: Callable[[], object]) -> tuple[float, float]:
    """Time a picture of ``BATCH``, and time of the processor, which others do not add to."""
    took, busy = [], []
    for _ in range(ROUNDS):
        started, used = time.perf_counter(), time.process_time()
        work()
        took.append(1000 * (time.perf_counter() - started) / BATCH)
        busy.append(1000 * (time.process_time() - used) / BATCH)
    return statistics.median(took), statistics.median(busy)


if __name__ == "__main__":
    main()
