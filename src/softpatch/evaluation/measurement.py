"""Image and pixel metrics of a test set, measured image by image."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from softpatch.datasets.samples import Sample, read_mask
from softpatch.detectors import Detector
from softpatch.evaluation import metrics
from softpatch.evaluation.frames import at_native, mask_at_input
from softpatch.evaluation.pixels import PixelTally
from softpatch.ranges.table import check_all
from softpatch.runtime.prediction import Prediction

FRAMES: tuple[str, ...] = ("input", "native")


class Measurement:
    """Takes predictions as they come; no image, mask or map is held.

    Args:
        detector: that predicts; it need not be fitted yet.
        test: the test set.
        pixel_at: where pixel metrics are taken. ``input``: at the network's input size on the
            part of the image it sees, with masks reduced to it: what the paper, PatchCore's
            and PaDiM's code and anomalib report, so figures compare with published ones.
            ``native``: at each image's own resolution with masks as they are, on the same part:
            small defects keep their shape, and large images weigh more than small ones.

    Raises:
        UsageError: an unknown ``pixel_at``.
    """

    def __init__(self, detector: Detector, test: Iterable[Sample], pixel_at: str = "input") -> None:
        check_all(pixel_at=pixel_at)
        self.detector = detector
        self.test = {str(sample.path): sample for sample in test}
        self.pixel_at = pixel_at
        self.labels: list[bool] = []
        self.scores: list[float] = []
        self.pixels = PixelTally()

    def add(self, prediction: Prediction) -> None:
        """Count one image; its pixels only if it is good or has a mask.

        An image that is not in the test set does not count: one fit can serve two test sets.

        Raises:
            DatasetError, ImageError: a mask that cannot be used.
        """
        sample = self.test.get(prediction.name)
        if sample is None:
            return
        self.labels.append(sample.defective)
        self.scores.append(prediction.score)
        if sample.defective and not sample.masks:
            return
        mask, heat = read_mask(sample, prediction.size), prediction.anomaly_map
        if self.pixel_at == "native":
            mask, heat = at_native(mask, prediction)
        else:
            mask = mask_at_input(mask, self.detector.preprocessing)
        self.pixels.add(mask, heat)

    def metrics(self) -> dict[str, float | None]:
        """All metrics by name, in [0, 1]; None where they are not defined."""
        labels, scores = np.array(self.labels, dtype=bool), np.array(self.scores)
        return {
            "image_auroc": metrics.auroc(labels, scores),
            "image_ap": metrics.average_precision(labels, scores),
            "image_f1max": metrics.f1_max(labels, scores),
            **self.pixels.metrics(),
        }

    def at_the_limit(self) -> dict[str, float | None]:
        """Shares of the good and of the defective images that the detector's threshold calls bad.

        ``false_alarms`` and ``found``; None without such images, or without a threshold.
        """
        limit, labels = self.detector.threshold_, np.array(self.labels, dtype=bool)
        kinds, scores = {"false_alarms": ~labels, "found": labels}, np.array(self.scores)
        return {
            name: float((scores[kind] > limit).mean()) if limit is not None and kind.any() else None
            for name, kind in kinds.items()
        }
