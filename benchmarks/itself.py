"""A folder against itself: a model of the test pictures scores these same pictures.

No label and no training set: the protocol of MuSc (Li et al., ICLR 2024) and of CoDeGraph.
How many of the pictures are bad is what the category has: 63 of bottle's 83.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.markdown import number, table, text
from benchmarks.pictures import DATA
from softpatch import SoftPatch
from softpatch.datasets import open_dataset
from softpatch.evaluation.measurement import Measurement
from softpatch.evaluation.protocol import fit_and_predict

FIGURES = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro")
COLUMNS = {
    "category": text("category"),
    "pictures": number("pictures"),
    "bad": number("bad"),
    **{name.replace("_", " "): number(name) for name in FIGURES},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--categories", nargs="+", default=["mvtec_bottle"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data)
    rows = []
    for name in arguments.categories:
        category = dataset.read(name)
        paths = [sample.path for sample in category.test]
        of_seed = []
        for seed in arguments.seeds:
            detector = SoftPatch(seed=seed, max_false_alarms=None)
            measurement = Measurement(detector, category.test)
            fit_and_predict(detector, paths, paths, measurement.add)
            of_seed.append(measurement.metrics())
            print(name, seed, detector.floors_, of_seed[-1], flush=True)
        means = {figure: np.mean([one[figure] for one in of_seed]) for figure in FIGURES}
        about = {"category": name, "pictures": len(paths), "bad": len(category.defects)}
        rows.append({**about, **means})
    print(table(COLUMNS, rows))


if __name__ == "__main__":
    main()
