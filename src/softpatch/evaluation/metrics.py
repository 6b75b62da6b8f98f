"""Image and pixel metrics: scikit-learn's where it has them, and an exact AUPRO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from softpatch.errors import MissingExtraError

try:
    from scipy import ndimage
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
except ImportError as error:
    raise MissingExtraError("evaluate", "measuring") from error

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]

AUPRO_LIMIT = 0.3  # the false-positive rate AUPRO integrates to (Bergmann et al. 2020)


def auroc(labels: Bools, scores: Floats) -> float | None:
    """Area under the ROC curve in [0, 1]; None where only one class is present."""
    return float(roc_auc_score(labels, scores)) if _two_classes(labels) else None


def average_precision(labels: Bools, scores: Floats) -> float | None:
    """Average precision in [0, 1]; None where only one class is present."""
    return float(average_precision_score(labels, scores)) if _two_classes(labels) else None


def f1_max(labels: Bools, scores: Floats) -> float | None:
    """The best F1 any threshold reaches, in [0, 1]; None where only one class is present."""
    if not _two_classes(labels):
        return None
    precision, recall, _ = precision_recall_curve(labels, scores)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())


def aupro(masks: Sequence[Bools], maps: Sequence[Floats]) -> float | None:
    """Area under the per-region-overlap curve up to a false-positive rate of 0.3, exactly.

    At every threshold, the overlap is the share of each connected (8-neighbour) defect region
    that is found, averaged over all regions, and the false-positive rate the share of defect-free
    pixels that is flagged. The curve through all distinct thresholds is integrated by the
    trapezoid rule and divided by 0.3 (Bergmann et al., IJCV 2021, sec. 6.1).

    Args:
        masks: ``(H, W)`` bool per picture.
        maps: ``(H, W)`` anomaly map per picture.

    Returns:
        in [0, 1]; None without a region or without a defect-free pixel.
    """
    # Every defective pixel is worth 1 / (its region's size): the overlap is then a running sum.
    worth = np.concatenate([_region_worth(mask).ravel() for mask in masks])
    regions = round(float(worth.sum()))
    normal = worth == 0
    normals = int(normal.sum())
    if regions == 0 or normals == 0:
        return None
    scores = np.concatenate([heat.ravel() for heat in maps])
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    overlap = np.append(0.0, np.cumsum(worth[order])[last_of_ties] / regions)
    false_positives = np.append(0.0, np.cumsum(normal[order])[last_of_ties] / normals)
    inside = int(np.searchsorted(false_positives, AUPRO_LIMIT, side="right"))
    at_limit = np.interp(AUPRO_LIMIT, false_positives, overlap)
    x = np.append(false_positives[:inside], AUPRO_LIMIT)
    y = np.append(overlap[:inside], at_limit)
    return float(np.trapezoid(y, x) / AUPRO_LIMIT)


def _region_worth(mask: Bools) -> npt.NDArray[np.float64]:
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel()).astype(np.float64)
    sizes[0] = np.inf  # defect-free pixels are worth nothing
    worth: npt.NDArray[np.float64] = 1 / sizes[labels]
    return worth


def _two_classes(labels: Bools) -> bool:
    return bool(labels.any()) and not bool(labels.all())
