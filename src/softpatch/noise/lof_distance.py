"""Fused: is the patch far from the others, and in a sparser place than they are?"""

from __future__ import annotations

from torch import Tensor

from softpatch.noise.lof import LocalOutlierFactor

NEIGHBOUR = 3  # whose distance counts: a defect that is there twice or three times is still far


class LofDistance(LocalOutlierFactor):
    """W = LOF times 1 + the distance to the third most similar patch at the position.

    LOF overlooks defects that recur more than k times, which are as dense as their neighbours are;
    their distance does not. Distance alone overlooks faint defects where the usual patches vary
    much, as on textures; LOF does not. See docs/audit.md for what that comes to.
    """

    def _factors(self, vectors: Tensor) -> Tensor:
        near, neighbour, chosen = self._neighbours(vectors)
        far = near[:, :, min(NEIGHBOUR, near.shape[2]) - 1]
        return self._local_outlier_factors(near, neighbour, chosen) * (1 + far)
