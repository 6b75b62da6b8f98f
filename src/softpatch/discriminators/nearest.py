"""SoftPatch-nearest: how far is the most similar patch of another image?"""

from __future__ import annotations

from torch import Tensor

from softpatch.discriminators.positions import distances, score_positions
from softpatch.progress import Progress, silent


class Nearest:
    """W = 1 + distance to the nearest other image's patch at the same position."""

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """``(P, N, D)`` -> ``(P, N)`` float32, at least 1."""
        return score_positions(patches, lambda here: 1 + distances(here).amin(dim=2), progress)
