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

    Masks are ``(H, W)`` bool, maps ``(H, W)``. In [0, 1]; None without a region or without a
    defect-free pixel.
    """
    worth = np.concatenate([region_worth(mask).ravel() for mask in masks])
    scores = np.concatenate([heat.ravel() for heat in maps])
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))  # of each set of ties
    normals = np.add.reduceat((worth == 0)[order].astype(np.int64), starts)
    return area_under_overlap(np.add.reduceat(worth[order], starts), normals)


def region_worth(mask: Bools) -> npt.NDArray[np.float64]:
    """``(H, W)``: 1 / (size of its connected region) for a defective pixel, 0 for others.

    The overlap of all regions is then a running sum over pixels.
    """
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel()).astype(np.float64)
    sizes[0] = np.inf  # defect-free pixels are worth nothing
    worth: npt.NDArray[np.float64] = 1 / sizes[labels]
    return worth


def area_under_overlap(worth: Floats, normals: npt.NDArray[np.int64]) -> float | None:
    """``aupro`` from what every threshold adds, the highest first.

    Args:
        worth: ``(T,)`` summed ``region_worth`` of the pixels with exactly this score.
        normals: ``(T,)`` number of defect-free pixels with exactly this score.
    """
    regions, clean = round(float(worth.sum())), int(normals.sum())
    if regions == 0 or clean == 0:
        return None
    overlap = np.append(0.0, np.cumsum(worth) / regions)
    false_positives = np.append(0.0, np.cumsum(normals) / clean)
    inside = int(np.searchsorted(false_positives, AUPRO_LIMIT, side="right"))
    at_limit = np.interp(AUPRO_LIMIT, false_positives, overlap)
    x = np.append(false_positives[:inside], AUPRO_LIMIT)
    y = np.append(overlap[:inside], at_limit)
    return float(np.trapezoid(y, x) / AUPRO_LIMIT)


def _two_classes(labels: Bools) -> bool:
    return bool(labels.any()) and not bool(labels.all())
