"""How hard defective images are to distinguish from good ones, for the kind ``difficult``."""

from __future__ import annotations

from pathlib import Path

from softpatch.compute.progress import Progress, silent
from softpatch.datasets.samples import Category
from softpatch.detectors import Detector
from softpatch.images.sources import OnUnreadable, fail_unreadable


def rate_difficulty(
    category: Category,
    detector: Detector,
    *,
    on_unreadable: OnUnreadable = fail_unreadable,
    progress: Progress = silent,
) -> dict[Path, float]:
    """Fit a detector on the clean training set, and score the readable defective test images.

    Any detector will do; ``PaDiM`` is the cheapest and, without a memory bank, favours none of the
    methods that have one.

    Returns:
        path -> minus the score: larger is harder.
    """
    train = [sample.path for sample in category.train]
    detector.fit(train, on_unreadable=on_unreadable, progress=progress)
    rated: dict[Path, float] = {}
    defects = [sample.path for sample in category.defects]
    found = detector.predict(defects, on_unreadable=on_unreadable, refuse_unusable=False)
    for prediction in found:
        rated[Path(prediction.name)] = -prediction.score
        progress("rate", len(rated), len(defects))
    return rated
