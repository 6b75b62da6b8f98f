"""Ten updates against refitting on everything: what a model loses that learns without old pictures.

``python -m benchmarks.updating --data DATA``. Training sets with 10 % of overlapping defects, in a
random order, preset ``edge``, a bank of 2 %. A model is fitted on a first part of the pictures and
updated ten times with what is left, a tenth of it each time; another is fitted on all of them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import command, hardware
from benchmarks.pictures import DATA
from benchmarks.processes import RESULTS, say, write_json
from softpatch import SoftPatch
from softpatch.benchmark.features import CachedExtractor, FeatureCache
from softpatch.datasets import Contamination, contaminate, read_category
from softpatch.evaluation.measurement import Measurement
from softpatch.evaluation.protocol import audit_auroc

CATEGORIES = ("mvtec_bottle", "magnetic_tile")
NOISE = 0.1
RATIO = 0.02
UPDATES = 10
FIRST = {"all": 1, "half": 1 / 2, "eleventh": 1 / 11}  # of the pictures is fitted on
KEPT = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--categories", nargs="+", default=CATEGORIES)
    parser.add_argument("--first", nargs="+", default=list(FIRST), choices=list(FIRST))
    parser.add_argument("--resize", type=int, help="pixels; the preset's if not given")
    parser.add_argument("--crop", type=int)
    parser.add_argument("--thin", type=int, default=1, help="take every so many test pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--features", type=Path, required=True, help="folder of the feature cache")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "updating.json")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.categories:
        for row in rows_of(arguments, name):
            rows.append(row)
            say(json.dumps(row))
    write_json(
        arguments.output,
        {"command": command("benchmarks.updating"), "hardware": hardware(), "rows": rows},
    )


def rows_of(arguments: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    draw = contaminate(
        read_category(arguments.data / name), NOISE, overlap=True, seed=arguments.seed
    )
    order = np.random.default_rng(arguments.seed).permutation(len(draw.train))
    pictures = [draw.train[index] for index in order]
    model = SoftPatch(
        coreset_ratio=RATIO, seed=arguments.seed, max_false_alarms=0.01,
        resize=arguments.resize, crop=arguments.crop,
    )  # fmt: skip
    cache = FeatureCache(arguments.features, 10**11)
    model.share_extractor(
        CachedExtractor(model.features, model.device, cache, torch.get_num_threads())
    )
    rows = []
    for first in arguments.first:
        begun = int(FIRST[first] * len(pictures))
        model.fit(pictures[:begun])
        for part in np.array_split(np.arange(begun, len(pictures)), UPDATES):
            if len(part):
                model.update([pictures[index] for index in part])
        rows.append({"set": name, "first": first, **measured(model, draw, arguments.thin)})
    return rows


def measured(model: SoftPatch, draw: Contamination, thin: int) -> dict[str, Any]:
    measurement = Measurement(model, draw.test)
    flagged = []
    for prediction in model.predict([sample.path for sample in draw.category.test[::thin]]):
        measurement.add(prediction)
        flagged.append(prediction.anomalous)
    good = ~np.array(measurement.labels)
    metrics = measurement.metrics()
    return {
        "bank": len(model.bank),
        **{key: metrics[key] for key in KEPT},
        "audit_auroc": audit_auroc(model, draw.injected_names),
        "false_alarms": float(np.array(flagged)[good].mean()),
        "found": float(np.array(flagged)[~good].mean()),
    }


if __name__ == "__main__":
    main()
