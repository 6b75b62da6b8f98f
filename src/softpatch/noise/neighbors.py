"""Shared by discriminators: chunks of positions, reference images, neighbours across images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from softpatch.compute.progress import Progress
from softpatch.compute.scratch import chunks
from softpatch.errors import UsageError

# Squared distances below this share of the vectors' squared norms are rounding: without it,
# identical patches (a saturated background) would be 1e-8 apart and LOF would rank that noise.
SAME = 1e-10
REFERENCES = 1000  # images that every image is compared with, at most


def score_positions(
    patches: Tensor, score: Callable[[Tensor], Tensor], progress: Progress, *, square: int = 0
) -> Tensor:
    """Apply ``score`` to a few positions at a time, in float64.

    Args:
        patches: ``(P, N, D)``; N at least 2.
        score: ``(p, N, D)`` float64, centred -> ``(p, N)``.
        progress: called after every chunk.
        square: rows of the square matrices that ``score`` makes for each position.

    Returns:
        ``(P, N)`` float32.
    """
    check_comparable(patches)
    positions, images, dimension = patches.shape
    scores = torch.empty(positions, images, device=patches.device)
    for chunk in chunks(positions, bytes_per_item=8 * (2 * images * dimension + 4 * square**2)):
        here = patches[chunk].to(torch.float64, copy=True)
        here -= here.mean(dim=1, keepdim=True)  # distances then keep all digits
        scores[chunk] = score(here).float()
        progress("discriminate", chunk.stop, positions)
    return scores


def check_comparable(patches: Tensor) -> None:
    """Raise UsageError unless patches are ``(P, N, D)`` with N at least 2."""
    if patches.ndim != 3:
        raise UsageError(f"patches must be (P, N, D), got shape {tuple(patches.shape)}")
    if patches.shape[1] < 2:
        raise UsageError(
            f"outliers are found by comparing images: at least 2 are needed, got {patches.shape[1]}"
        )


def draw_references(images: int, most: int, seed: int) -> Tensor:
    """``(r,)`` int64, ascending: all images, or ``most`` of them drawn by ``seed``."""
    if images <= most:
        return torch.arange(images)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(images, generator=generator)[:most].sort().values


def nearest_references(vectors: Tensor, references: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Each vector's k nearest vectors of reference images other than its own, by position.

    Args:
        vectors: ``(p, N, D)`` float64, centred.
        references: ``(r,)`` images, ascending; r above k.
        k: number of neighbours.

    Returns:
        ``(p, N, k)`` Euclidean distances, ascending, and indices into ``references``.
    """
    positions, images, _ = vectors.shape
    others = vectors if len(references) == images else vectors[:, references]  # (p, r, D)
    norm = vectors.square().sum(dim=2)
    distance = vectors.new_empty(positions, images, k)
    index = torch.empty(positions, images, k, dtype=torch.long, device=vectors.device)
    for rows in chunks(images, bytes_per_item=24 * positions * len(references)):
        scale = norm[:, rows].unsqueeze(2) + norm[:, references].unsqueeze(1)
        squared = torch.baddbmm(scale, vectors[:, rows], others.transpose(1, 2), alpha=-2)
        squared = squared.where(squared > SAME * scale, 0.0)  # (p, rows, r)
        own = torch.arange(rows.start, rows.stop, device=vectors.device)
        squared.masked_fill_(own.unsqueeze(1) == references, torch.inf)
        distance[:, rows], index[:, rows] = squared.topk(k, dim=2, largest=False)
    return distance.sqrt_(), index
