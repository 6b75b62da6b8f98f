"""SoftPatch-LOF: is the patch in a sparser place than its neighbours are? (Breunig et al. 2000)"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from softpatch.compute.progress import Progress, silent
from softpatch.errors import UsageError
from softpatch.noise.neighbors import (
    REFERENCES,
    draw_references,
    nearest_references,
    score_positions,
)

TINY = 1e-10  # scikit-learn's guard: identical patches have an infinite density otherwise


class LocalOutlierFactor:
    """W = local outlier factor at the position; normal patches have W near 1, outliers above.

    Equals ``sklearn.neighbors.LocalOutlierFactor(n_neighbors=k)`` at every position. Above
    ``references`` images, neighbours are sought among that many of them only: the images drawn
    have their factor among themselves, the others the one of a new observation
    (``novelty=True``). So the cost grows with N, not N squared, and a defect has to recur that
    much more often before it looks normal.
    """

    by_position: ClassVar[bool] = True

    def __init__(self, k: int = 6, references: int = REFERENCES, seed: int = 0) -> None:
        """Set the rule.

        Args:
            k: neighbours compared with (paper: 6); at most r - 1 of r reference images are used.
            references: images each is compared with, at most.
            seed: draws them.
        """
        if k < 1:
            raise UsageError(f"k must be at least 1, got {k}")
        self.k = k
        self.references = references
        self.seed = seed

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """``(P, N, D)`` -> ``(P, N)`` float32, above 0."""
        return score_positions(patches, self._factors, progress)

    def _factors(self, vectors: Tensor) -> Tensor:
        return self._local_outlier_factors(*self._neighbours(vectors))

    def _neighbours(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(p, N, k)`` distances and indices of neighbours, and the ``(r,)`` references."""
        chosen = draw_references(vectors.shape[1], self.references, self.seed).to(vectors.device)
        k = min(self.k, len(chosen) - 1)
        return *nearest_references(vectors, chosen, k), chosen

    def _local_outlier_factors(self, near: Tensor, neighbour: Tensor, chosen: Tensor) -> Tensor:
        p, n, k = near.shape
        flat = neighbour.reshape(p, n * k)
        k_distance = near[:, chosen, -1]  # (p, r)
        reach = torch.maximum(near, k_distance.gather(1, flat).view(p, n, k))
        density = 1 / (reach.mean(dim=2) + TINY)  # (p, N) local reachability density
        return density[:, chosen].gather(1, flat).view(p, n, k).mean(dim=2) / density
