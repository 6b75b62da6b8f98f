"""Time and peak memory of softpatch beside the released route, in one run: ``make bench``.

Every route runs in a process of its own, so that its peak memory is its own. Ratios above 1 mean
softpatch is ahead. Nothing here is a test: numbers go to ``benchmarks/results/latest.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

PREDICTED = 20  # test pictures timed one by one
ROUTES = ("softpatch", "released")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[2] / "shared" / "data"
    data = Path(os.environ.get("SOFTPATCH_DATA", default))
    parser.add_argument("--data", type=Path, default=data / "mvtec_bottle", help="MVTec layout")
    parser.add_argument("--images", type=int, default=229, help="training pictures at most")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights", help="local checkpoint, or random to measure speed alone")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/latest.json"))
    parser.add_argument("--route", choices=ROUTES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.route:
        print(json.dumps(measure(arguments)))
        return
    routes = {route: in_own_process(route) for route in ROUTES}
    ours, peer = routes["softpatch"], routes["released"]
    ratios = {
        "fit_vs_released": peer["fit_seconds"] / ours["fit_seconds"],
        "discriminate_vs_released": peer["steps"]["discriminate"] / ours["steps"]["discriminate"],
        "coreset_vs_released": peer["steps"]["coreset"] / ours["steps"]["coreset"],
        "predict_vs_released": peer["predict_seconds"] / ours["predict_seconds"],
        "memory_vs_released": peer["peak_memory_mb"] / ours["peak_memory_mb"],
    }
    result = {"hardware": hardware(), "backbone": arguments.backbone, **routes, "ratios": ratios}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def in_own_process(route: str) -> dict[str, Any]:
    print(f"== {route}", file=sys.stderr)
    command = [sys.executable, "-m", "benchmarks.run", *sys.argv[1:], "--route", route]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    from softpatch.datasets import contaminate, read_category
    from softpatch.evaluation.protocol import peak_memory_mb

    contamination = contaminate(read_category(arguments.data), 0.1, overlap=True, seed=0)
    paths = [Path(source.name) for source in contamination.train]
    # Evenly over the list: its last pictures are the injected ones.
    paths = paths[:: max(1, -(-len(paths) // arguments.images))]
    tested = [sample.path for sample in contamination.test][:PREDICTED]
    fit, predict = route_of(arguments)
    started = time.perf_counter()
    steps = fit(paths)
    fit_seconds = time.perf_counter() - started
    predict(tested[:1])
    started = time.perf_counter()
    for path in tested:
        predict([path])
    return {
        "images": len(paths),
        "fit_seconds": fit_seconds,
        "steps": steps,
        "predict_seconds": (time.perf_counter() - started) / len(tested),
        "peak_memory_mb": peak_memory_mb(),
    }


def route_of(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """``fit(paths) -> seconds by step`` and ``predict(paths)`` of the route asked for."""
    from softpatch.features.extractor import configure

    features = {"backbone": arguments.backbone, "weights": arguments.weights}
    if arguments.route == "released":
        from benchmarks.reference.released import ReleasedSoftPatch

        released = ReleasedSoftPatch(configure("edge", **features))

        def fit_released(paths: list[Path]) -> dict[str, float]:
            released.fit(paths)
            return released.seconds

        return fit_released, released.predict

    from softpatch import SoftPatch

    model = SoftPatch(**features)

    def fit_ours(paths: list[Path]) -> dict[str, float]:
        ended = {"start": time.perf_counter()}

        def clock(step: str, _done: int, _total: int) -> None:
            ended[step] = time.perf_counter()

        model.fit(paths, progress=clock)
        return {step: ended[step] - ended[before] for before, step in pairwise(ended)}

    return fit_ours, lambda paths: list(model.predict(paths))


def hardware() -> dict[str, Any]:
    import torch

    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
