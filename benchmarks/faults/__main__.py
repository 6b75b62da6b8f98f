"""One campaign: ``python -m benchmarks.faults NAME``; exit code 1 if it has found something."""

from __future__ import annotations

import argparse
import importlib
import sys

# How often each tries by default: files, kills of each command, starts of each pair, requests, and
# points at which a disk is full.
COUNTS = {"damage": 5000, "kills": 50, "writers": 100, "requests": 20_000, "short": 8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=COUNTS)
    parser.add_argument("--count", type=int, help=f"how many to try (default: {COUNTS})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="what has this in its name, such as export")
    arguments = parser.parse_args()
    # Each prepares this process as it needs it, some for forks.
    module = importlib.import_module(f"benchmarks.faults.{arguments.name}")
    count = arguments.count or COUNTS[arguments.name]
    tally = module.campaign(count, arguments.seed, arguments.only)
    print(tally)
    sys.exit(1 if tally.problems else 0)


if __name__ == "__main__":
    main()
