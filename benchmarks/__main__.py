"""All benchmarks in order, then their results page: ``make bench``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.processes import RESULTS, say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, help="pictures at most, to see whether it all runs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    few = ["--images", str(arguments.images)] if arguments.images else []
    sizes = ["--sizes", str(arguments.images)] if arguments.images else []
    folder = arguments.results
    started = time.perf_counter()
    for module, options in {
        "benchmarks.run": [*few, "-o", str(folder / "latest.json")],
        "benchmarks.floor": [*few, "-o", str(folder / "floor.json")],
        "benchmarks.steps": [*few, "-o", str(folder / "steps.json")],
        "benchmarks.growth": [*sizes, "-o", str(folder / "growth.json")],
        "benchmarks.tiles": ["-o", str(folder / "tiles.json")],
        "benchmarks.report": ["--results", str(folder)],
    }.items():
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", module, *options], check=True)
        say(f"== {module} took {time.perf_counter() - begun:.0f} s")
    say(f"== all benchmarks took {time.perf_counter() - started:.0f} s; see {folder / 'README.md'}")


if __name__ == "__main__":
    main()
