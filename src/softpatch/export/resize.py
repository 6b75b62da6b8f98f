"""The resize of ``Preprocessing`` as two matrix products, for pictures of any size.

Runtimes disagree about an anti-aliased resize, but not about a matrix product. Of ONNX's Resize
OpenVINO 2026.4 ignores ``antialias``, and ONNX Runtime 1.32 differs from torch by up to 12 grey
levels (noise of 300x200, to 64x64); this gives torch's levels. The matrices are made in the graph
from the picture's size.
"""

from __future__ import annotations

import torch
from torch import Tensor

# torch resizes 8-bit pictures with weights of 16 bits: the largest power of two that leaves the
# largest weight below 2^15, and no more than 22 places.
LARGEST_WEIGHT = 2**15
MOST_PLACES = 22


def resize(images: Tensor, rows: tuple[int, int, int], columns: tuple[int, int, int]) -> Tensor:
    """Resize 8-bit pictures and cut out the crop, to the rounded grey levels torch gives.

    Args:
        images: ``(B, C, H, W)`` float32 grey levels 0..255.
        rows: the height to resize to, and the first and the number of its rows that are kept.
        columns: the same of the width.

    Returns:
        ``(B, C, h, w)`` float32 grey levels, whole numbers.
    """
    across = resize_matrix(images.shape[3], *columns)
    down = resize_matrix(images.shape[2], *rows)
    # torch rounds to 8 bits after either side, too: columns first.
    narrow = torch.floor(images @ across.T + 0.5)  # (B, C, H, W) x (W, w) -> (B, C, H, w)
    return torch.floor(down @ narrow + 0.5)  # (h, H) x (B, C, H, w) -> (B, C, h, w)


def resize_matrix(side: int, resized: int, first: int, count: int) -> Tensor:
    """``(count, side)`` float32: pixels of a side -> pixels ``first`` and on of the resized one.

    A triangle as wide as two pixels of the coarser side, in whole numbers until it is divided by
    its sum: pixel j lies ``(2j + 1) resized - (2i + 1) side`` from pixel i.
    """
    pixel = torch.arange(resized).unsqueeze(1)
    distance = ((2 * torch.arange(side) + 1) * resized - (2 * pixel + 1) * side).abs()
    triangle = (-distance + 2 * torch.sym_max(side, resized)).clamp(min=0)
    weight = triangle.double() / triangle.sum(dim=1, keepdim=True).double()
    powers = 2.0 ** torch.arange(MOST_PLACES + 1, dtype=torch.float64)
    scale = powers.where(weight.max() * powers + 0.5 < LARGEST_WEIGHT, 1.0).max()
    kept = weight[first : first + count]
    return (torch.floor(kept * scale + 0.5) / scale).float()
