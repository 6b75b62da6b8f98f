"""What no route can be faster or smaller than: reading the pictures, the network, the libraries.

Beside them softpatch's own parts of a fit and a prediction, so that what is left to gain shows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import OtherWork, StepClock, command, hardware, resident_mb
from benchmarks.pictures import DATA, PAPER, read_batches, training_and_test
from benchmarks.processes import RESULTS, write_json
from softpatch import SoftPatch
from softpatch.bank.coreset import _LazyGreedy
from softpatch.bank.coreset_distances import CoresetDistances
from softpatch.images.decode import decode_image

BATCH = 4
PARTS = {  # of the coreset
    "sketches": (CoresetDistances, "__init__"),
    "update bounds": (CoresetDistances, "update_bounds"),
    "tighten": (CoresetDistances, "tighten"),
    "resolve": (CoresetDistances, "resolve"),
    "inside blocks": (_LazyGreedy, "_greedy_within"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "mvtec_bottle")
    parser.add_argument("--images", type=int, default=229, help="training pictures at most")
    parser.add_argument("--backbone", default="wide_resnet50_2")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "floor.json")
    arguments = parser.parse_args()
    result = {
        "command": command("benchmarks.floor"),
        "hardware": hardware(),
        "category": arguments.data.name,
        "backbone": arguments.backbone,
        **measure(arguments.data, arguments.images, arguments.backbone),
    }
    write_json(arguments.output, result)
    print(json.dumps(result, indent=2))


@torch.inference_mode()
def measure(folder: Path, images: int, backbone: str) -> dict[str, Any]:
    train, test = training_and_test(folder, images)
    others = OtherWork()
    model = SoftPatch(**{**PAPER, "backbone": backbone}, weights="random")
    preprocessing = model.preprocessing
    libraries = resident_mb()
    extractor = model.extractor

    def network_for_all() -> float:
        started = time.perf_counter()
        for batch in read_batches(train, preprocessing, BATCH):
            extractor.maps(batch)
        return time.perf_counter() - started

    before = network_for_all()
    clock = StepClock()
    with timed(PARTS) as parts:
        started = time.perf_counter()
        model.fit(train, progress=clock)
        fit = time.perf_counter() - started
    network = min(before, network_for_all())  # a processor's clock may change meanwhile

    pictures = [decode_image(path) for path in test]
    inputs = [preprocessing(picture) for picture in pictures]
    patches = [extractor(one).flatten(1, 2) for one in inputs]
    return {
        "images": len(train),
        "fit": {
            "seconds": fit,
            "reading_and_network_seconds": network,
            "steps": clock.seconds(),
            "coreset_parts": parts,
        },
        "predict": {
            "seconds": median(model.predict, test),
            "decode_seconds": median(decode_image, test),
            "network_seconds": median(extractor.maps, inputs),
            "search_seconds": median(model.learned_.score, patches),
        },
        "memory": {"libraries_and_network_mb": libraries},
        "other_work_cores": others.cores(),
    }


@contextmanager
def timed(methods: Mapping[str, tuple[type, str]]) -> Iterator[dict[str, float]]:
    """Seconds that each method takes inside the block, by the names given to them."""
    seconds = dict.fromkeys(methods, 0.0)

    def timing(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def run(*args: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*args)
            finally:
                seconds[name] += time.perf_counter() - started

        return run

    originals = {name: getattr(owner, method) for name, (owner, method) in methods.items()}
    for name, (owner, method) in methods.items():
        setattr(owner, method, timing(name, originals[name]))
    try:
        yield seconds
    finally:
        for name, (owner, method) in methods.items():
            setattr(owner, method, originals[name])


def median(work: Callable[[Any], object], items: list[Any]) -> float:
    work(items[0])
    took = []
    for item in items:
        started = time.perf_counter()
        work(item)
        took.append(time.perf_counter() - started)
    return statistics.median(took)


if __name__ == "__main__":
    main()
