"""The same fit with and without Ray on this machine: seconds, their ratio, and the model's bytes.

The pictures are made from the category's (see ``benchmarks.grown``) and written to files first.
Both fits run in one process each, one after the other.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.grown import GrownPictures
from benchmarks.machine import OtherWork, StepClock, command, hardware
from benchmarks.pictures import DATA, training_and_test
from benchmarks.processes import RESULTS, in_own_process, say, write_json

ORIGINALS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "mvtec_bottle")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--bank-size", type=int, default=1000)
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "ray_overhead.json")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    options = {name: getattr(arguments, name) for name in ("bank_size", "resize", "crop")}
    if arguments.engine:
        print(json.dumps(measure(arguments.engine, arguments.data, options)))
        return
    about = hardware()
    with tempfile.TemporaryDirectory() as scratch:
        say(f"== writing {arguments.images} pictures")
        write_pictures(arguments.data, arguments.images, Path(scratch))
        found = {}
        for engine in ("local", "ray"):
            say(f"== {engine}")
            given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
            found[engine] = in_own_process(
                "benchmarks.ray_overhead", "--engine", engine, "--data", scratch, *given
            )
            say(f"   {json.dumps(found[engine])}")
    ratios = {
        name: found["ray"][name] / found["local"][name] for name in ("fit_seconds", "total_seconds")
    }
    result = {
        "command": command("benchmarks.ray_overhead"),
        "hardware": about,
        "images": arguments.images,
        "options": options,
        **found,
        "ratios": ratios,
        "same_model": found["local"]["sha256"] == found["ray"]["sha256"],
    }
    write_json(arguments.output, result)
    say(
        f"Ray takes {ratios['fit_seconds']:.2f} times as long, {ratios['total_seconds']:.2f} times "
        f"with its start; same model: {result['same_model']}"
    )


def write_pictures(data: Path, count: int, folder: Path) -> None:
    grown = GrownPictures(training_and_test(data, ORIGINALS)[0], count)
    for index in range(count):
        Image.fromarray(grown[index]).save(folder / f"{index:06}.png", compress_level=1)


def measure(engine: str, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    from softpatch import SoftPatch
    from softpatch.detectors.embedder import Embed, Embedder

    others = OtherWork()
    started = time.perf_counter()
    model = SoftPatch(max_false_alarms=None, **options)
    embed: Embed = Embedder.collect
    _ = model.preprocessing  # loads the backbone
    with ExitStack() as stack:
        if engine == "ray":
            from softpatch.distributed.cluster import connected
            from softpatch.distributed.sharded_patches import OnCluster

            embed = OnCluster(stack.enter_context(connected()), "exact")
        clock = StepClock()
        began = time.perf_counter()
        model.fit(folder, embed=embed, progress=clock)
        fit_seconds = time.perf_counter() - began
    total = time.perf_counter() - started
    busy = others.cores()
    with tempfile.TemporaryDirectory() as scratch:
        model.save(Path(scratch) / "model")
        digest = hashlib.sha256((Path(scratch) / "model").read_bytes()).hexdigest()
    return {
        "fit_seconds": fit_seconds,
        "total_seconds": total,
        "steps": clock.seconds(),
        "sha256": digest,
        "other_work_cores": busy,  # of the Ray fit, its own workers among them
    }


if __name__ == "__main__":
    main()
