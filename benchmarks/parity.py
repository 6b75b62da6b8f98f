"""Exported files beside their model on all test pictures of a category.

Pictures of one size go through in batches of up to 4, and a part of each, of another shape, alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.pictures import DATA, PAPER, training_and_test
from softpatch import Detector, Prediction, SoftPatch, load
from softpatch.datasets import Sample, read_category
from softpatch.evaluation.measurement import Measurement
from softpatch.export import export_model
from softpatch.export.export import TOLERANCE
from softpatch.export.formats import FORMATS
from softpatch.export.parity import map_difference
from softpatch.runtime.engine import open_model
from softpatch.runtime.images import read_levels

TRAINED = 60  # pictures
CALIBRATED = 30  # of them, on which int8 is calibrated
BATCH = 4
PART = " (part)"
Levels = npt.NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "mvtec_bottle", help="a category")
    parser.add_argument("--model", type=Path, help="of the category; fitted if not given")
    parser.add_argument("--precision", choices=TOLERANCE, default="fp32", help="of the files")
    options = parser.parse_args()
    samples = read_category(options.data).test
    train, _ = training_and_test(options.data, TRAINED)
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model
        if model is None:
            model = Path(scratch) / "part.softpatch"
            SoftPatch(**PAPER, coreset_ratio=0.02).fit(train).save(model)
        detector = load(model)
        groups = list(batches([(str(one.path), read_levels(one.path)[0]) for one in samples]))
        expected = [
            replace(one, name=name)
            for names, batch in groups
            for name, one in zip(names, detector.predict(list(batch)), strict=True)
        ]
        # A label may differ for half of them.
        threshold = float(np.median([one.score for one in expected])) * 1.0001
        print(f"{options.data.name}, model: {aurocs(detector, samples, expected)}")
        for suffix in FORMATS:
            file = Path(scratch) / f"part{suffix}"
            export_model(
                model,
                file,
                pictures=[],
                threshold=threshold,
                precision=options.precision,
                calibration=train[:: len(train) // CALIBRATED],
            )
            run, _ = open_model(file)
            outputs = [one for _, batch in groups for one in singly(run(batch))]
            found = [
                replace(one, score=float(output["score"]), anomaly_map=output["map"])
                for one, output in zip(expected, outputs, strict=True)
            ]
            scores = [abs(a.score / b.score - 1) for a, b in zip(found, expected, strict=True)]
            maps = [
                map_difference(a.anomaly_map, b.anomaly_map)
                for a, b in zip(found, expected, strict=True)
            ]
            labels = [
                bool(output["label"]) != (one.score > threshold)
                for output, one in zip(outputs, expected, strict=True)
            ]
            print(
                f"{options.data.name}, {suffix}: {len(scores)} pictures of "
                f"{len({batch.shape[1:] for _, batch in groups})} sizes in {len(groups)} calls; "
                f"largest difference of scores {max(scores):.1e}, of maps {max(maps):.1e}; "
                f"labels that differ: {sum(labels)}; {aurocs(detector, samples, found)}"
            )


def batches(pictures: Iterable[tuple[str, Levels]]) -> Iterator[tuple[list[str], Levels]]:
    """Every picture in a batch of its size, then two thirds of its width alone; and their names."""
    ordered = sorted(pictures, key=lambda one: one[1].shape)
    for _, group in groupby(ordered, key=lambda one: one[1].shape):
        same = list(group)
        for start in range(0, len(same), BATCH):
            names, levels = zip(*same[start : start + BATCH], strict=True)
            yield list(names), np.stack(levels)
    for name, picture in ordered:
        part = picture[None, :, : max(1, picture.shape[1] * 2 // 3)]
        yield [name + PART], np.ascontiguousarray(part)


def singly(outputs: Mapping[str, npt.NDArray[Any]]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """The outputs of a batch, picture by picture."""
    for at in range(len(outputs["score"])):
        yield {name: output[at] for name, output in outputs.items()}


def aurocs(detector: Detector, samples: Iterable[Sample], predictions: list[Prediction]) -> str:
    """Of image and pixels, on the whole pictures."""
    measurement = Measurement(detector, samples)
    for one in predictions:
        measurement.add(one)
    metrics = measurement.metrics()
    return f"AUROC of images {metrics['image_auroc']:.4f}, of pixels {metrics['pixel_auroc']:.4f}"


if __name__ == "__main__":
    main()
