"""Exported files beside their model on all test pictures of a category.

Pictures of one size go through in batches of up to 4, and a part of each, of another shape, alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.pictures import DATA, training_and_test
from softpatch import Prediction, SoftPatch, load
from softpatch.datasets import read_category
from softpatch.export import export_model
from softpatch.export.formats import FORMATS
from softpatch.export.parity import grey_levels, map_difference
from softpatch.images import decode_image

TRAINED = 60  # pictures
BATCH = 4
Levels = npt.NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "mvtec_bottle", help="a category")
    parser.add_argument("--model", type=Path, help="of the category; fitted if not given")
    options = parser.parse_args()
    paths = [sample.path for sample in read_category(options.data).test]
    pictures = [grey_levels(decode_image(path)) for path in paths]
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model
        if model is None:
            model = Path(scratch) / "part.softpatch"
            train, _ = training_and_test(options.data, TRAINED)
            SoftPatch(coreset_ratio=0.02).fit(train).save(model)
        detector = load(model)
        groups = list(batches(pictures))
        expected = [list(detector.predict(list(batch))) for batch in groups]
        scores = [one.score for several in expected for one in several]
        threshold = float(np.median(scores)) * 1.0001  # a label may differ for half of them
        for suffix, form in FORMATS.items():
            file = Path(scratch) / f"part{suffix}"
            export_model(model, file, pictures=[], threshold=threshold)
            run = form().open(file)
            differences = [
                difference(dict(run(batch)), several, threshold)
                for batch, several in zip(groups, expected, strict=True)
            ]
            score, heat, labels = np.array(differences).T
            sizes = {batch.shape[1:] for batch in groups}
            print(
                f"{options.data.name}, {suffix}: {len(scores)} pictures of {len(sizes)} sizes in "
                f"{len(groups)} calls; largest difference of scores {score.max():.1e}, of maps "
                f"{heat.max():.1e}; labels that differ: {labels.sum():.0f}"
            )


def batches(pictures: list[Levels]) -> Iterator[Levels]:
    """Every picture in a batch of its size, then two thirds of its width alone."""
    for _, group in groupby(sorted(pictures, key=np.shape), key=np.shape):
        same = list(group)
        for start in range(0, len(same), BATCH):
            yield np.stack(same[start : start + BATCH])
    for picture in pictures:
        yield np.ascontiguousarray(picture[None, :, : max(1, picture.shape[1] * 2 // 3)])


def difference(
    outputs: dict[str, npt.NDArray[np.float32]], expected: list[Prediction], threshold: float
) -> tuple[float, float, int]:
    """Largest of a batch: of scores and of maps, as ``ParityReport``, and labels that differ."""
    scores, heats, labels = [], [], 0
    for at, one in enumerate(expected):
        scores.append(abs(outputs["score"][at] / one.score - 1))
        heats.append(map_difference(outputs["map"][at], one.anomaly_map))
        labels += bool(outputs["label"][at]) != (one.score > threshold)
    return max(scores), max(heats), labels


if __name__ == "__main__":
    main()
