"""Time and peak memory of softpatch beside its peers on real pictures, in one run.

Every route runs in a process of its own, so that its peak memory is its own. Ratios above 1 mean
softpatch is ahead. Nothing here is a test: numbers go to ``benchmarks/results/latest.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import OtherWork, command, hardware, peak_memory_mb, resident_mb
from benchmarks.ours import NotAvailableError
from benchmarks.pictures import DATA, PAPER, PREDICTED, training_and_test
from benchmarks.processes import RESULTS, in_own_process, say, write_json
from benchmarks.routes import MOST, ROUTES, make_route
from softpatch.benchmark.machine import reset_peak

# name of the ratio: what is compared, the peer's route, ours
RATIOS = {
    "fit_vs_released": ("fit_seconds", "released", "softpatch"),
    "embed_vs_released": ("embed", "released", "softpatch"),
    "discriminate_vs_released": ("discriminate", "released", "softpatch"),
    "coreset_vs_released": ("coreset", "released", "softpatch"),
    "predict_vs_released": ("predict_seconds", "released", "softpatch"),
    "memory_vs_released": ("peak_memory_mb", "released", "softpatch"),
    "fit_vs_anomalib": ("fit_seconds", "anomalib", "softpatch-100"),
    "embed_vs_anomalib": ("embed", "anomalib", "softpatch-100"),
    "coreset_vs_anomalib": ("coreset", "anomalib", "softpatch-100"),
    "predict_vs_anomalib": ("predict_seconds", "anomalib", "softpatch-100"),
    "memory_vs_anomalib": ("peak_memory_mb", "anomalib", "softpatch-100"),
    "fit_bf16_vs_released": ("fit_seconds", "released", "softpatch-bf16"),
    "predict_bf16_vs_released": ("predict_seconds", "released", "softpatch-bf16"),
    "predict_openvino_vs_released": ("predict_seconds", "released", "softpatch-openvino"),
    "predict_int8_vs_released": ("predict_seconds", "released", "softpatch-int8"),
    "memory_1gb_vs_released": ("peak_memory_mb", "released", "softpatch-1gb"),
}
CALIBRATED = "calibrated"
PUBLISHED = "published"
# Of fewer pictures the arrays that anomalib's coreset makes for every pick are below 32 MB, and
# glibc takes them from its heap. There the picks themselves keep the freed ones from being used
# again: in about every second run of 20 pictures the process grew to 20 GB. On more pictures they
# are mapped one by one, as these variables ask for on few.
FEW = 44
MAPPED = {"MALLOC_MMAP_THRESHOLD_": str(4 * 2**20)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=DATA / "mvtec_bottle", help="a category in MVTec layout"
    )
    parser.add_argument("--images", type=int, default=229, help="training pictures at most")
    parser.add_argument("--backbone", default="wide_resnet50_2")
    parser.add_argument(
        "--weights",
        default="random",
        help="random (default), calibrated (random too; see weights.py), published, or a file",
    )
    parser.add_argument("--routes", nargs="+", choices=ROUTES, default=ROUTES, metavar="ROUTE")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "latest.json")
    parser.add_argument("--route", choices=ROUTES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.route:
        print(json.dumps(measure(arguments)))
        return
    about = hardware()
    with tempfile.TemporaryDirectory() as folder:
        routes = measure_all(arguments, Path(folder))
    result = {
        "command": command("benchmarks.run"),
        "hardware": about,
        "category": arguments.data.name,
        "backbone": arguments.backbone,
        "weights": arguments.weights,
        "predicted": PREDICTED,
        "routes": routes,
        "ratios": ratios(routes),
    }
    write_json(arguments.output, result)
    print(json.dumps(result["ratios"], indent=2))


def measure_all(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    own: list[str] = []
    if arguments.weights == CALIBRATED:
        file = scratch / "weights.safetensors"
        own = ["--weights", str(file)]
        source = ["--data", str(arguments.data), "--backbone", arguments.backbone]
        in_own_process("benchmarks.weights", *source, "--file", str(file))
    routes = {}
    for name in arguments.routes:
        say(f"== {name}")
        few = name == "anomalib" and arguments.images < FEW
        routes[name] = in_own_process(
            "benchmarks.run", *sys.argv[1:], *own, "--route", name, **(MAPPED if few else {})
        )
        if few:
            routes[name]["note"] = "mapping its arrays one by one took it several times as long"
        say(f"   {routes[name].get('skipped') or json.dumps(routes[name])}")
    return routes


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit one route and predict with it, in this process."""
    from softpatch.features.presets import configure

    weights = None if arguments.weights == PUBLISHED else arguments.weights
    embedding = PAPER["embedding"]
    config = configure("edge", backbone=arguments.backbone, weights=weights, embedding=embedding)
    try:
        route = make_route(arguments.route, config)
    except NotAvailableError as error:
        return {"skipped": str(error)}
    images = min(arguments.images, MOST.get(arguments.route, arguments.images))
    train, test = training_and_test(arguments.data, images)
    before = resident_mb()
    others = OtherWork()
    reset_peak()  # loading a checkpoint is not the method's doing
    started = time.perf_counter()
    steps = route.fit(train)
    fit_seconds = time.perf_counter() - started
    route.predict(test[0])
    return {
        "images": len(train),
        "fit_seconds": fit_seconds,
        "steps": steps,
        # The median, because other work on the machine delays some.
        "predict_seconds": statistics.median(seconds(route.predict, path) for path in test),
        "peak_memory_mb": peak_memory_mb(),
        "memory_before_fit_mb": before,
        "other_work_cores": others.cores(),
        **route.describe(),
    }


def seconds(predict: Any, path: Path) -> float:
    started = time.perf_counter()
    predict(path)
    return time.perf_counter() - started


def ratios(routes: dict[str, Any]) -> dict[str, float]:
    """Every ratio whose two routes ran."""
    found = {}
    for name, (quantity, peer, ours) in RATIOS.items():
        theirs, own = (value(routes.get(route, {}), quantity) for route in (peer, ours))
        if theirs is not None and own is not None:
            found[name] = theirs / own
    return found


def value(route: dict[str, Any], quantity: str) -> float | None:
    number: float | None = route.get(quantity, route.get("steps", {}).get(quantity))
    return number


if __name__ == "__main__":
    main()
