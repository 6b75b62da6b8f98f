"""What the discriminators share: positions in chunks, and distances between images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from softpatch.errors import UsageError
from softpatch.memory import chunks
from softpatch.progress import Progress

# Distances below this share of the vectors' norms are rounding of equal vectors. Without it,
# identical patches (a saturated background) would lie 1e-8 apart and LOF would rank the noise.
SAME = 1e-10


def score_positions(
    patches: Tensor, score: Callable[[Tensor], Tensor], progress: Progress
) -> Tensor:
    """Apply ``score`` to a few positions at a time, in float64.

    Args:
        patches: ``(P, N, D)``; N at least 2.
        score: ``(p, N, D)`` float64, centred -> ``(p, N)``.
        progress: told after every chunk.

    Returns:
        ``(P, N)`` float32.
    """
    if patches.ndim != 3:
        raise UsageError(f"patches must be (P, N, D), got shape {tuple(patches.shape)}")
    positions, images, dimension = patches.shape
    if images < 2:
        raise UsageError(
            f"outliers are found by comparing images: at least 2 are needed, got {images}"
        )
    scores = torch.empty(positions, images, device=patches.device)
    # the chunk and a few N x N matrices, 8 bytes a number
    for chunk in chunks(positions, bytes_per_item=8 * images * (2 * dimension + 4 * images)):
        here = patches[chunk].double()
        here = here - here.mean(dim=1, keepdim=True)  # distances keep all digits that way
        scores[chunk] = score(here).float()
        progress("discriminate", chunk.stop, positions)
    return scores


def distances(vectors: Tensor) -> Tensor:
    """``(p, N, D)`` float64 -> ``(p, N, N)`` Euclidean distances, the diagonal infinite."""
    norm = vectors.square().sum(dim=2)
    scale = norm.unsqueeze(2) + norm.unsqueeze(1)
    squared = torch.baddbmm(scale, vectors, vectors.transpose(1, 2), alpha=-2)
    squared = squared.where(squared > SAME * scale, 0.0)
    squared.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return squared.sqrt_()
