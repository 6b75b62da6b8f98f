"""AUPRO (Bergmann et al. 2021, sec. 6.1): every threshold, every region, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage


def aupro(
    masks: Sequence[npt.NDArray[np.bool_]],
    maps: Sequence[npt.NDArray[np.floating[Any]]],
    limit: float = 0.3,
) -> float:
    """Area under (false-positive rate, mean region overlap) up to ``limit``, over ``limit``."""
    regions = []  # (picture, pixels of one connected region)
    for picture, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(picture, labels == label) for label in range(1, count + 1)]
    clean = sum(int((~mask).sum()) for mask in masks)

    curve = [(0.0, 0.0)]
    for threshold in sorted({float(value) for heat in maps for value in heat.flat}, reverse=True):
        flagged = [heat >= threshold for heat in maps]
        wrong = sum(int((found & ~mask).sum()) for found, mask in zip(flagged, masks, strict=True))
        overlaps = [flagged[picture][region].mean() for picture, region in regions]
        curve.append((wrong / clean, float(np.mean(overlaps))))

    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(curve):
        if x0 >= limit:
            break
        if x1 > limit:  # cut the last piece at the limit
            x1, y1 = limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


def f1_max(labels: Sequence[bool], scores: Sequence[float]) -> float:
    """The best F1 over every threshold."""
    best = 0.0
    for threshold in scores:
        hits = sum(
            label and score >= threshold for label, score in zip(labels, scores, strict=True)
        )
        flagged = sum(score >= threshold for score in scores)
        best = max(best, 2 * hits / (flagged + sum(labels)))
    return best


def native_pixels(
    heat: npt.NDArray[np.floating[Any]],
    size: tuple[int, int],
    box: tuple[float, float, float, float],
) -> dict[tuple[int, int], float]:
    """The map's bilinear value at every pixel of a picture whose centre lies in the box."""
    left, top, right, bottom = box
    values = {}
    for row, column in itertools.product(range(size[0]), range(size[1])):
        y, x = row + 0.5, column + 0.5
        if not (top <= y <= bottom and left <= x <= right):
            continue
        v = (y - top) / (bottom - top) * heat.shape[0] - 0.5
        u = (x - left) / (right - left) * heat.shape[1] - 0.5
        v, u = min(max(v, 0), heat.shape[0] - 1), min(max(u, 0), heat.shape[1] - 1)
        i, j = int(v), int(u)
        below, beside = min(i + 1, heat.shape[0] - 1), min(j + 1, heat.shape[1] - 1)
        upper = (1 - (u - j)) * heat[i, j] + (u - j) * heat[i, beside]
        lower = (1 - (u - j)) * heat[below, j] + (u - j) * heat[below, beside]
        values[row, column] = float((1 - (v - i)) * upper + (v - i) * lower)
    return values
