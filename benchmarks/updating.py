"""Ten updates against refitting on everything: what a model loses that learns without old pictures.

``python -m benchmarks.updating --data DATA``. Training sets with 10 % of overlapping defects, in a
random order, preset ``edge``, a bank of 2 %. A model is fitted on a first part of the pictures and
updated ten times with what is left, a tenth of it each time; another is fitted on all of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import command, hardware
from benchmarks.markdown import table, text
from benchmarks.pictures import DATA, PAPER
from benchmarks.processes import RESULTS, say, write_json
from softpatch import SoftPatch
from softpatch.datasets import Contamination, contaminate, read_category
from softpatch.evaluation.measurement import Measurement
from softpatch.evaluation.protocol import audit_auroc
from softpatch.features.cache import CachedExtractor, MapFolder

CATEGORIES = ("mvtec_bottle", "magnetic_tile")
NOISE = 0.1
RATIO = 0.02
UPDATES = 10
FIRST = {"all": 1, "half": 1 / 2, "eleventh": 1 / 11}  # of the pictures is fitted on
KEPT = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro")
MEASURED = {
    "image AUROC": "image_auroc",
    "pixel AUROC": "pixel_auroc",
    "pixel AP": "pixel_ap",
    "AUPRO": "aupro",
    "suspects (AUROC)": "audit_auroc",
    "false alarms": "false_alarms",
    "defects found": "found",
}
SHOWN = {"set": "set", "fitted on": "first", **MEASURED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--categories", nargs="+", default=CATEGORIES)
    parser.add_argument("--first", nargs="+", default=list(FIRST), choices=list(FIRST))
    parser.add_argument("--resize", type=int, default=PAPER["resize"], help="pixels")
    parser.add_argument("--crop", type=int, default=PAPER["crop"], help="pixels")
    parser.add_argument("--thin", type=int, default=1, help="take every n-th test picture")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of everything drawn")
    parser.add_argument("--features", type=Path, required=True, help="folder of the feature cache")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "updating.json")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.categories:
        for seed in arguments.seeds:
            for row in rows_of(arguments, name, seed):
                rows.append(row)
                say(json.dumps(row))
    write_json(
        arguments.output,
        {"command": command("benchmarks.updating"), "hardware": hardware(), "rows": rows},
    )
    say(table({name: text(key) for name, key in SHOWN.items()}, means(rows)))


def rows_of(arguments: argparse.Namespace, name: str, seed: int) -> Iterator[dict[str, Any]]:
    draw = contaminate(read_category(arguments.data / name), NOISE, overlap=True, seed=seed)
    order = np.random.default_rng(seed).permutation(len(draw.train))
    pictures = [draw.train[index] for index in order]
    model = SoftPatch(
        **{
            **PAPER, "resize": arguments.resize, "crop": arguments.crop, "coreset_ratio": RATIO,
            "seed": seed, "max_false_alarms": 0.01,
        },
    )  # fmt: skip
    cache = MapFolder(arguments.features, 10**11)
    model.share_extractor(
        CachedExtractor(model.features, model.device, cache, torch.get_num_threads())
    )
    for first in arguments.first:
        begun = int(FIRST[first] * len(pictures))
        model.fit(pictures[:begun])
        for part in np.array_split(np.arange(begun, len(pictures)), UPDATES):
            if len(part):
                model.update([pictures[index] for index in part])
        yield {"set": name, "first": first, "seed": seed, **measured(model, draw, arguments.thin)}


def measured(model: SoftPatch, draw: Contamination, thin: int) -> dict[str, Any]:
    measurement = Measurement(model, draw.test)
    flagged = []
    for prediction in model.predict([sample.path for sample in draw.category.test[::thin]]):
        measurement.add(prediction)
        flagged.append(prediction.anomalous)
    good = ~np.array(measurement.labels)
    metrics = measurement.metrics()
    return {
        "bank": len(model.bank_),
        **{key: metrics[key] for key in KEPT},
        "audit_auroc": audit_auroc(model, draw.injected_names),
        "false_alarms": float(np.array(flagged)[good].mean()),
        "found": float(np.array(flagged)[~good].mean()),
    }


def means(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The mean over seeds for every set and first part, with the smallest and the largest."""
    kinds = dict.fromkeys((row["set"], row["first"]) for row in rows)
    found = []
    for name, first in kinds:
        like = [row for row in rows if (row["set"], row["first"]) == (name, first)]
        line = {"set": name, "first": first}
        for key in MEASURED.values():
            values = [row[key] for row in like]
            span = f" ({min(values):.3f}–{max(values):.3f})" if len(like) > 1 else ""
            line[key] = f"{np.mean(values):.3f}{span}"
        found.append(line)
    return found


if __name__ == "__main__":
    main()
