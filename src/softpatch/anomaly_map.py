"""Patch scores -> anomaly map and image score (METHOD: soft weights and scoring)."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

BLUR_SIGMA = 4.0  # pixels of the network's input, as in the paper
TRUNCATE = 4.0  # the Gaussian is cut off at this many sigmas, as scipy.ndimage does


def anomaly_map(scores: Tensor, size: tuple[int, int], sigma: float = BLUR_SIGMA) -> Tensor:
    """Upsample bilinearly and blur.

    Both are linear and act on rows and columns alike, so they are one matrix per axis.

    Args:
        scores: ``(B, h, w)`` patch scores.
        size: (height, width) of the map in pixels.
        sigma: of the Gaussian blur, in pixels; 0 for none.

    Returns:
        ``(B, *size)`` of the dtype of ``scores``; equals ``F.interpolate`` followed by
        ``scipy.ndimage.gaussian_filter``.
    """
    rows = _upsample_and_blur(scores.shape[1], size[0], sigma).to(scores)
    columns = _upsample_and_blur(scores.shape[2], size[1], sigma).to(scores)
    return rows @ scores @ columns.T  # (H, h) x (B, h, w) x (w, W) -> (B, H, W)


def image_score(scores: Tensor) -> Tensor:
    """``(B, ...)`` patch scores -> ``(B,)``: the worst patch decides."""
    return scores.flatten(1).amax(dim=1)


@cache
def _upsample_and_blur(length: int, target: int, sigma: float) -> Tensor:
    """``(target, length)`` float64: what both steps do to one axis."""
    unit = torch.eye(length, dtype=torch.float64)
    matrix = F.interpolate(unit.unsqueeze(0), size=target, mode="linear", align_corners=False)[0].T
    if sigma == 0:
        return matrix
    radius = int(TRUNCATE * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    kernel /= kernel.sum()
    # Beyond the border the picture is mirrored, edge pixel included, as often as it takes.
    position = torch.arange(target).unsqueeze(1) + offsets  # (target, 2 * radius + 1)
    folded = position.remainder(2 * target)
    folded = torch.minimum(folded, 2 * target - 1 - folded)
    blur = torch.zeros(target, target, dtype=torch.float64)
    blur.scatter_add_(1, folded, kernel.expand(target, -1))
    return blur @ matrix
