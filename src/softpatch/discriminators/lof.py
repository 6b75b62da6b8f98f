"""SoftPatch-LOF: is the patch in a sparser place than its neighbours are? (Breunig et al. 2000)"""

from __future__ import annotations

import torch
from torch import Tensor

from softpatch.discriminators.positions import distances, score_positions
from softpatch.errors import UsageError
from softpatch.progress import Progress, silent

TINY = 1e-10  # scikit-learn's guard: identical patches have an infinite density otherwise


class LocalOutlierFactor:
    """W = local outlier factor at the position; normal patches have W near 1, outliers above.

    Equals ``sklearn.neighbors.LocalOutlierFactor(n_neighbors=k)`` at every position.
    """

    def __init__(self, k: int = 6) -> None:
        """``k``: neighbours compared with (paper: 6); at most N - 1 are used."""
        if k < 1:
            raise UsageError(f"k must be at least 1, got {k}")
        self.k = k

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """``(P, N, D)`` -> ``(P, N)`` float32, above 0."""
        return score_positions(patches, self._factors, progress)

    def _factors(self, vectors: Tensor) -> Tensor:
        p, n, _ = vectors.shape
        k = min(self.k, n - 1)
        near, neighbour = distances(vectors).topk(k, dim=2, largest=False)  # (p, N, k)
        flat = neighbour.reshape(p, n * k)
        k_distance = near[:, :, -1]  # (p, N)
        reach = torch.maximum(near, k_distance.gather(1, flat).view(p, n, k))
        density = 1 / (reach.mean(dim=2) + TINY)  # (p, N) local reachability density
        return density.gather(1, flat).view(p, n, k).mean(dim=2) / density
