"""How suspicious each training image is."""

from __future__ import annotations

import torch
from torch import Tensor

from softpatch.calling.contamination import suspicious

SUSPICION_SHARE = 0.01  # of its patches, the worst, make an image suspicious
MOST_PATCHES = 16


def image_suspicion(outlier: Tensor, image_index: Tensor) -> Tensor:
    """How odd each image is where it is oddest.

    Args:
        outlier: ``(M, P)`` outlier scores, of images or of their tiles.
        image_index: ``(M,)`` the image each is from, ascending.

    Returns:
        ``(N,)`` means of each image's worst 1 % of scores, or worst ``MOST_PATCHES``: in a large
        tiled image a small defect is as suspicious as in a small one.
    """
    return of_images(worst_mean(outlier), image_index)


def of_images(scores: Tensor, image_index: Tensor) -> Tensor:
    """``(M,)`` scores of images' tiles, all at least 0 -> ``(N,)``, each image's largest."""
    largest = scores.new_zeros(int(image_index[-1]) + 1)
    return largest.scatter_reduce_(0, image_index, scores, "amax")


def finite(scores: Tensor) -> Tensor:
    """With the largest finite score in place of infinite ones; all 0 where none is finite."""
    there = scores.isfinite()
    return scores.where(there, scores.where(there, 0.0).max())


def worst_mean(outlier: Tensor) -> Tensor:
    """``(M, P)`` outlier scores -> ``(M,)`` means of the worst of each row."""
    return outlier.topk(worst_count(outlier.shape[1]), dim=1).values.mean(dim=1)


def worst_count(positions: int) -> int:
    """How many of an image's patches, the worst, make it suspicious."""
    return min(MOST_PATCHES, max(1, int(SUSPICION_SHARE * positions)))


def suspects(suspicion: Tensor | None, device: torch.device) -> Tensor:
    """Int64 indices of the images that do not count as good ones; none of None."""
    if suspicion is None:
        return torch.empty(0, dtype=torch.long, device=device)
    found = torch.from_numpy(suspicious(suspicion.cpu().numpy()))
    return found.nonzero().flatten().to(device)
