"""Patch scores -> anomaly map and image score (METHOD: soft weights and scoring)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from softpatch.runtime.tiling import Axis, TileLayout, divide

BLUR_SIGMA = 4.0  # pixels of the network's input, as in the paper
TRUNCATE = 4.0  # the Gaussian is cut off at this many sigmas, as scipy.ndimage does


def anomaly_map(scores: Tensor, size: tuple[int, int], sigma: float = BLUR_SIGMA) -> Tensor:
    """``(B, h, w)`` patch scores -> ``(B, *size)`` of their dtype: bilinearly upsampled, blurred.

    Equals ``F.interpolate`` followed by ``scipy.ndimage.gaussian_filter``. The size is (height,
    width) in pixels, and so is ``sigma``; 0 does not blur.
    """
    rows, columns = (divide(side, None, side, side) for side in size)
    return _spread(scores, rows, columns, sigma)


def tiled_anomaly_map(scores: Tensor, layout: TileLayout, sigma: float = BLUR_SIGMA) -> Tensor:
    """One map of the ``(tiles, h, w)`` scores of an image: upsample, blend overlaps, blur.

    A tile counts the more, the farther a pixel is from the border of what the tile shows, so that
    the map has no seams. ``sigma`` is in pixels of the map.

    Returns:
        ``(layout.rows.seen, layout.columns.seen)``; of a single tile, its ``anomaly_map``.
    """
    down, across = layout.shape
    h, w = scores.shape[1:]
    grid = scores.view(down, across, h, w).transpose(1, 2).reshape(down * h, across * w)
    return _spread(grid, layout.rows, layout.columns, sigma)


def _spread(scores: Tensor, rows: Axis, columns: Axis, sigma: float) -> Tensor:
    """All steps are linear and act on rows and columns alike: they are one matrix per side."""
    h, w = scores.shape[-2] // len(rows.starts), scores.shape[-1] // len(columns.starts)
    down = blurred_upsampling(rows, h, sigma).to(scores)
    across = blurred_upsampling(columns, w, sigma).to(scores)
    return down @ scores @ across.T  # (H, h) x (..., h, w) x (w, W) -> (..., H, W)


@lru_cache(maxsize=16)
def blurred_upsampling(axis: Axis, length: int, sigma: float = BLUR_SIGMA) -> Tensor:
    """``(axis.seen, tiles * length)`` float64: what both steps do to a column of patches."""
    return _blurred(_upsampled(axis, length), sigma)


def _upsampled(axis: Axis, length: int) -> Tensor:
    """``(axis.seen, tiles * length)`` float64: patches of a column of tiles -> its pixels."""
    begin = torch.tensor(axis.starts, dtype=torch.float64) * axis.scale
    exact = float(begin[-1]) + axis.crop  # ``seen`` is rounded
    pixel = (torch.arange(axis.seen, dtype=torch.float64) + 0.5) * (exact / axis.seen)  # centres
    within = pixel.unsqueeze(1) - begin  # (seen, tiles) position in each tile's crop
    weight = torch.minimum(within, axis.crop - within).clamp(min=0)
    weight /= weight.sum(dim=1, keepdim=True)
    patch = (within * (length / axis.crop) - 0.5).clamp(0, length - 1)
    lower = patch.floor().long().clamp(max=max(0, length - 2))
    upper = (lower + 1).clamp(max=length - 1)
    share = patch - lower
    matrix = torch.zeros(*weight.shape, length, dtype=torch.float64)
    matrix.scatter_add_(2, lower.unsqueeze(2), (weight * (1 - share)).unsqueeze(2))
    matrix.scatter_add_(2, upper.unsqueeze(2), (weight * share).unsqueeze(2))
    return matrix.flatten(1)


def _blurred(matrix: Tensor, sigma: float) -> Tensor:
    """Blur ``(pixels, n)`` along the first side, which is mirrored beyond its ends."""
    if sigma == 0:
        return matrix
    target = len(matrix)
    radius = int(TRUNCATE * sigma + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1).double() / sigma) ** 2)
    kernel /= kernel.sum()
    blurred = torch.zeros_like(matrix)
    for offset, weight in zip(range(-radius, radius + 1), kernel.tolist(), strict=True):
        # Mirrored edge pixel included, as often as it takes.
        position = (torch.arange(target) + offset).remainder(2 * target)
        blurred.add_(matrix[torch.minimum(position, 2 * target - 1 - position)], alpha=weight)
    return blurred
