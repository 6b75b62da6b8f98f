"""Time and peak memory of a fit as the training set grows, each size in its own process.

The pictures are made from bottle's, see ``benchmarks.grown``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.grown import GrownPictures
from benchmarks.machine import OtherWork, StepClock, command, hardware, peak_memory_mb, resident_mb
from benchmarks.pictures import DATA, PAPER, training_and_test
from benchmarks.processes import RESULTS, in_own_process, say, write_json
from softpatch.benchmark.machine import reset_peak

SIZES = (250, 1000, 5000)
# What bounds a large fit; passed where SoftPatch has it.
OPTIONS = {"bank_size": 10_000, "memory_limit": 3_500_000_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "mvtec_bottle")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "growth.json")
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.size:
        print(json.dumps(measure(arguments.data, arguments.size)))
        return
    about = hardware()
    sizes = []
    for size in arguments.sizes:
        say(f"== {size} pictures")
        source = ["--data", str(arguments.data), "--size", str(size)]
        sizes.append(in_own_process("benchmarks.growth", *source))
        say(f"   {json.dumps(sizes[-1])}")
    result = {"command": command("benchmarks.growth"), "hardware": about, "sizes": sizes}
    write_json(arguments.output, result)


def measure(folder: Path, size: int) -> dict[str, Any]:
    from softpatch import SoftPatch

    pictures = GrownPictures(training_and_test(folder, size)[0], size)
    known = SoftPatch.option_names()
    options: dict[str, Any] = {name: OPTIONS[name] for name in OPTIONS if name in known}
    model = SoftPatch(**PAPER, **options)
    _ = model.preprocessing  # loads the backbone
    before = resident_mb()
    others = OtherWork()
    reset_peak()
    clock = StepClock()
    started = time.perf_counter()
    model.fit(pictures, progress=clock)
    fit_seconds = time.perf_counter() - started
    return {
        "images": size,
        "options": options,
        "bank": len(model.bank_),
        "fit_seconds": fit_seconds,
        "seconds_per_image": fit_seconds / size,
        "making_pictures_seconds": pictures.seconds,  # part of embed
        "steps": clock.seconds(),
        "peak_memory_mb": peak_memory_mb(),
        "memory_before_fit_mb": before,
        "other_work_cores": others.cores(),
    }


if __name__ == "__main__":
    main()
