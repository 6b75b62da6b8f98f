"""How well the audit and the threshold without labels do on images known to be good or bad.

For every category, noise ratio and seed, defective test pictures are added to the training set as
``softpatch evaluate --overlap`` does. The audit ranks what is there and estimates how many are bad;
with ``--thresholds``, a model is fitted to it and scores the test set, the added pictures included.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.machine import command, hardware
from benchmarks.markdown import number, table, text
from benchmarks.pictures import DATA, EARLIER
from benchmarks.processes import RESULTS, say, write_json
from softpatch import SoftPatch, audit
from softpatch.datasets import Contamination, contaminate, open_dataset

ALARMS = (0.01, 0.05)  # asked for

AUDITS = {
    "category": text("category"),
    "noise": text("noise"),
    "seed": text("seed"),
    "discriminator": text("discriminator"),
    "ranking AUROC": number("auroc"),
    "precision": number("precision"),
    "bad": number("bad"),
    "estimated": number("estimated"),
    "seconds": number("seconds"),
}
THRESHOLDS = {
    "category": text("category"),
    "noise": text("noise"),
    "seed": text("seed"),
    "asked": text("asked"),
    "false alarms": text("false_alarms"),
    "found": text("found"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--categories", nargs="+", default=["mvtec_bottle", "magnetic_tile"])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.05, 0.1, 0.2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--discriminator", default="auto")
    parser.add_argument("--thresholds", action="store_true", help="fit, too")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "auditing.json")
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data)
    audits: list[dict[str, Any]] = []
    thresholds: list[dict[str, Any]] = []
    for name in arguments.categories:
        category = dataset.read(name)
        for noise in arguments.noise:
            for seed in arguments.seeds if noise else arguments.seeds[:1]:
                say(f"== {name}, noise {noise:g}, seed {seed}")
                mixed = contaminate(category, noise, overlap=True, seed=seed)
                cell = {"category": name, "noise": noise, "seed": seed}
                audits.append({**cell, **audited(mixed, arguments.discriminator)})
                if arguments.thresholds:
                    thresholds += [{**cell, **row} for row in alarms(mixed)]
    result = {
        "command": command("benchmarks.auditing"), "hardware": hardware(),
        "audits": audits, "thresholds": thresholds,
    }  # fmt: skip
    write_json(arguments.output, result)
    say(table(AUDITS, audits))
    if thresholds:
        say(table(THRESHOLDS, thresholds))


def audited(mixed: Contamination, discriminator: str) -> dict[str, Any]:
    """Ranking and estimate against the truth."""
    started = time.perf_counter()
    found = audit(mixed.train, discriminator=discriminator, **EARLIER)
    seconds = time.perf_counter() - started
    injected = set(mixed.injected_names)
    bad = np.array([image.path in injected for image in found.images])
    score = [image.score for image in found.images]
    return {
        "discriminator": found.discriminator,
        "auroc": float(roc_auc_score(bad, score)) if bad.any() else None,
        "precision": float(bad[: bad.sum()].mean()) if bad.any() else None,
        "bad": float(bad.mean()),
        "estimated": found.contamination,
        "interval": found.interval,
        "seconds": seconds,
    }


def alarms(mixed: Contamination) -> list[dict[str, Any]]:
    """False alarms on good test pictures, and defects found, for every share asked for."""
    model = SoftPatch(**EARLIER, max_false_alarms=ALARMS[0]).fit(mixed.train)
    defective = np.array([sample.defective for sample in mixed.test])
    scores = np.array([one.score for one in model.predict([one.path for one in mixed.test])])
    rows = []
    for asked in ALARMS:
        called = scores > model.choose_threshold(asked).value
        rows.append(
            {
                "asked": asked,
                "false_alarms": f"{called[~defective].sum()} of {(~defective).sum()}",
                "found": f"{called[defective].sum()} of {defective.sum()}",
            }
        )
    return rows


if __name__ == "__main__":
    main()
