"""SoftPatch-nearest: how far is the most similar patch of another image?"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from softpatch.compute.progress import Progress, silent
from softpatch.noise.neighbors import (
    REFERENCES,
    draw_references,
    nearest_references,
    score_positions,
)


class Nearest:
    """W = 1 + distance to the nearest other image's patch at the same position.

    Above ``references`` images, the nearest of that many, drawn by ``seed``.
    """

    by_position: ClassVar[bool] = True

    def __init__(self, references: int = REFERENCES, seed: int = 0) -> None:
        self.references = references
        self.seed = seed

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """``(P, N, D)`` -> ``(P, N)`` float32, at least 1."""
        return score_positions(patches, self._distance, progress)

    def _distance(self, vectors: Tensor) -> Tensor:
        chosen = draw_references(vectors.shape[1], self.references, self.seed).to(vectors.device)
        return 1 + nearest_references(vectors, chosen, k=1)[0].squeeze(2)
