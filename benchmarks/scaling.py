"""How time and memory grow with the number of pictures, their size and the size of the bank.

One of the three changes at a time. Each fit and its predictions run in a process of their own, on
pictures that are made when they are asked for, and without a feature cache: what a first fit costs.
Started again, the command goes on where it was stopped. It writes ``scaling.csv`` and a page.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.grown import GrownPictures
from benchmarks.machine import StepClock, command, peak_memory_mb
from benchmarks.pictures import DATA
from benchmarks.processes import say
from benchmarks.scaling_sections import AXES, MEASURED, STEPS, scaling_sections
from softpatch import PatchCore, SoftPatch
from softpatch.benchmark.machine import machine, reset_peak
from softpatch.benchmark.plan import code_hash, fingerprint
from softpatch.benchmark.results import FAILED, OK, CellStore, Row
from softpatch.datasets import read_category
from softpatch.detectors import make_detector, no_threshold
from softpatch.runtime.files import csv_bytes, write_atomically

METHODS = ("softpatch-lof", "patchcore")
PREDICTED = 20  # pictures
COLUMNS = (
    "category", "method", "options", "axis", "value", *AXES, "status", "reason", *MEASURED,
    "bank_vectors", "device", "threads", "processor", "cores", "versions",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """What a fit is measured at; image size in pixels a side, bank size in vectors at most."""

    images: int = 250
    image_size: int = 224
    bank_size: int = 20_000


@dataclass(frozen=True)
class ScalingRun:
    """One fit of one method at one size."""

    data: str
    method: str
    size: Size
    device: str
    memory_limit: int | None
    threads: int

    @property
    def key(self) -> str:
        """What the result is kept under."""
        pictures = fingerprint(read_category(Path(self.data)))
        deciding = [code_hash(), torch.__version__, pictures, machine(), repr(self)]
        return hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:32]


def main() -> None:
    from softpatch.benchmark.report import write_page

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=DATA / "mvtec_bottle",
        help="a category, whose pictures are repeated",
    )  # fmt: skip
    parser.add_argument("--methods", nargs="+", default=METHODS)
    for axis, values in AXES.items():
        option = f"--{axis.replace('_', '-').removesuffix('s')}s"
        what = f"with any of the three, only those given are measured  {values}"
        parser.add_argument(option, dest=axis, type=int, nargs="+", help=what)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--memory-limit", type=int, help="of a fit, in bytes")
    parser.add_argument("-o", "--output", type=Path, default=Path("softpatch-scaling"))
    arguments = parser.parse_args()
    given = {axis: values for axis in AXES if (values := getattr(arguments, axis))}
    work = [
        (axis, ScalingRun(
            str(arguments.data), method, size, arguments.device, arguments.memory_limit,
            torch.get_num_threads(),
        ))
        for method in arguments.methods
        for axis, size in sizes(given or AXES)
    ]  # fmt: skip
    rows = run_scaling(work, arguments.output, finished=lambda rows: say(f"{len(rows)} measured"))
    table = [{column: row.get(column) for column in COLUMNS} for row in rows]
    write_atomically(arguments.output / "scaling.csv", csv_bytes(table))
    about = " ".join((__doc__ or "").split("\n\n")[1].split())
    written = write_page(
        arguments.output, "How time and memory grow", about, command("benchmarks.scaling"), rows,
        scaling_sections(rows),
    )  # fmt: skip
    say(f"wrote {', '.join(map(str, written))}")


def sizes(axes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Size]]:
    """Every axis with every size on it; the other two are as in ``Size()`` meanwhile."""
    for axis, values in axes.items():
        for value in values:
            yield axis, Size(**{**asdict(Size()), axis: value})


def run_scaling(
    work: Sequence[tuple[str, ScalingRun]],
    output: Path,
    *,
    finished: Callable[[Sequence[Row]], None],
) -> list[Row]:
    """Measure what is not kept in ``output`` yet; one row for each entry of ``work``.

    ``finished`` is called with the rows that were kept, then with each new one.
    """
    store = CellStore(output / "cells")
    keys = {one: one.key for _, one in work}
    kept = {one: row for one, key in keys.items() if (row := store.get(key)) is not None}

    def row_of(axis: str, one: ScalingRun) -> Row:
        return {"axis": axis, "value": getattr(one.size, axis), **kept[one]}

    finished([row_of(*entry) for entry in work if entry[1] in kept])
    for axis, one in work:
        if one not in kept:
            kept[one] = in_own_process(one)
            if kept[one]["status"] == OK:
                store.put(keys[one], kept[one])
            finished([row_of(axis, one)])
    return [row_of(*entry) for entry in work]


def in_own_process(one: ScalingRun) -> Row:
    row: Row = {
        "category": Path(one.data).name,
        "method": one.method,
        "options": "{}",
        **asdict(one.size),
    }
    # torch does not survive a fork, and memory must not be inherited.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return {**row, "status": OK, "reason": "", **pool.submit(measure, one).result()}
        except Exception as error:  # out of memory, most likely
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return {**row, "status": FAILED, "reason": reason}


def measure(one: ScalingRun) -> Row:
    """Fit and predict once in this process."""
    torch.set_num_threads(one.threads)
    size = one.size
    options = {"resize": size.image_size, "crop": size.image_size, **no_threshold(one.method)}
    if one.method != "padim":  # which has no bank
        options["bank_size"] = size.bank_size
    detector = make_detector(
        one.method, **options, device=one.device, memory_limit=one.memory_limit
    )
    _ = detector.preprocessing  # loads the network
    paths = [sample.path for sample in read_category(Path(one.data)).train]
    training = GrownPictures(paths, size.images, size.image_size)
    unseen = GrownPictures(paths, PREDICTED, size.image_size, first=size.images)
    test = [unseen[index] for index in range(PREDICTED)]
    reset_peak()
    clock = StepClock()
    started = time.perf_counter()
    detector.fit(training, progress=clock)
    fit_seconds = time.perf_counter() - started
    started = time.perf_counter()
    for _ in detector.predict(test):
        pass
    predict_seconds = time.perf_counter() - started
    steps = clock.seconds()
    other = fit_seconds - sum(steps.values())
    steps["embed"] -= training.seconds  # which is the benchmark's own doing
    bank = len(detector.bank_) if isinstance(detector, SoftPatch | PatchCore) else None
    return {
        **{f"{step}_seconds": steps.get(step) for step in STEPS},
        "other_seconds": other,
        "fit_seconds": fit_seconds - training.seconds,
        "predict_seconds_per_image": predict_seconds / PREDICTED,
        "peak_memory_mb": peak_memory_mb(),
        "bank_vectors": bank,
        "device": str(detector.device),
        "threads": one.threads,
        **machine(),
    }


if __name__ == "__main__":
    main()
