"""SoftPatch-nearest: how far is the most similar patch of another image?"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from softpatch.compute.progress import Progress, silent
from softpatch.noise.neighbors import (
    REFERENCES,
    draw_references,
    nearest_references,
    score_positions,
)


class Nearest:
    """W = 1 + distance to the most similar patch of another image at the same position.

    Above ``references`` images, the most similar of that many, drawn by ``seed``. Fails for defects
    that two images share, which are each other's neighbours, and for faint ones where normal
    patches vary much, as on textures.
    """

    by_position: ClassVar[bool] = True
    words: ClassVar[str] = "distance to the most similar patch of another picture at the same place"
    tau: ClassVar[float | Literal["auto"]] = 0.15  # the paper's
    soft_weight: ClassVar[bool] = True

    def __init__(self, references: int = REFERENCES, seed: int = 0) -> None:
        self.references = references
        self.seed = seed

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """``(P, N, D)`` -> ``(P, N)`` float32, at least 1."""
        return score_positions(patches, self._distance, progress)

    def _distance(self, vectors: Tensor) -> Tensor:
        references = draw_references(vectors.shape[1], self.references, self.seed).to(
            vectors.device
        )
        return 1 + nearest_references(vectors, references, k=1)[0].squeeze(2)
