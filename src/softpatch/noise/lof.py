"""SoftPatch-LOF: is the patch in a sparser region than its neighbours? (Breunig et al. 2000)"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from softpatch.compute.progress import Progress, silent
from softpatch.noise.neighbors import (
    REFERENCES,
    draw_references,
    nearest_references,
    score_positions,
)
from softpatch.ranges.table import check

TINY = 1e-10  # scikit-learn's guard: identical patches have an infinite density otherwise


class LocalOutlierFactor:
    """W = mean density of the patch's k neighbours / its own density; normal patches are near 1.

    The neighbours are the k most similar patches of other images at the same position. A density
    is 1 / the mean over a patch's neighbours of max(distance, the neighbour's k-distance). Equals
    ``sklearn.neighbors.LocalOutlierFactor(n_neighbors=k)`` at every position. Fails for defects
    that recur more than k times at a position, which are as dense as their neighbours.

    Above ``references`` images, neighbours are sought among that many drawn ones: these have their
    factor among themselves, the others that of a new observation (``novelty=True``). So the cost
    grows with N, not N squared, and a defect has to recur N / ``references`` times as often before
    it looks normal.
    """

    by_position: ClassVar[bool] = True
    words: ClassVar[str] = "how much sparser a patch's surroundings are than its neighbours'"
    tau: ClassVar[float | Literal["auto"]] = 0.15  # the paper's
    soft_weight: ClassVar[bool] = True

    def __init__(self, k: int = 6, references: int = REFERENCES, seed: int = 0) -> None:
        """Set the options.

        Args:
            k: neighbours of a patch (paper: 6); at most r - 1 of r reference images.
            references: images that every image is compared with, at most.
            seed: draws the references.
        """
        self.k: int = check("k", k)
        self.references = references
        self.seed = seed

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """``(P, N, D)`` -> ``(P, N)`` float32, above 0."""
        return score_positions(patches, self._factors, progress)

    def _factors(self, vectors: Tensor) -> Tensor:
        return self._local_outlier_factors(*self._neighbours(vectors))

    def _neighbours(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(p, N, k)`` distances and indices of the neighbours, and the ``(r,)`` references."""
        references = draw_references(vectors.shape[1], self.references, self.seed).to(
            vectors.device
        )
        k = min(self.k, len(references) - 1)
        return *nearest_references(vectors, references, k), references

    def _local_outlier_factors(self, near: Tensor, neighbour: Tensor, references: Tensor) -> Tensor:
        p, n, k = near.shape
        flat = neighbour.reshape(p, n * k)
        k_distance = near[:, references, -1]  # (p, r)
        reachability = torch.maximum(near, k_distance.gather(1, flat).view(p, n, k))
        density = 1 / (reachability.mean(dim=2) + TINY)  # (p, N) local reachability density
        return density[:, references].gather(1, flat).view(p, n, k).mean(dim=2) / density
