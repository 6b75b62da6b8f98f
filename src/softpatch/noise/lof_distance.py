"""LOF-distance: is the patch far from the others, and in a sparser region than they are?"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from softpatch.noise.lof import LocalOutlierFactor

NEIGHBOUR = 3  # whose distance counts: a defect that occurs two or three times is still far


class LofDistance(LocalOutlierFactor):
    """W = LOF * (1 + distance to the third most similar patch at the position).

    The neighbours are those of ``LocalOutlierFactor``: patches of other images at the position. LOF
    overlooks defects that recur more than k times, which are as dense as their neighbours; their
    distance does not. Distance alone overlooks faint defects where normal patches vary much, as on
    textures; LOF does not. Fails where parts are turned or shifted, and for defects in nearly every
    tenth image at one position. Measured in docs/audit.md and docs/robust.md.
    """

    words: ClassVar[str] = (
        "far from the other pictures at the place, and in a sparser place than they are"
    )
    tau: ClassVar[float | Literal["auto"]] = "auto"
    # Not softened: these scores grow with distance, so weights would penalise rare but good
    # patches, which costs 0.01 of pixel AUROC on bottle and 0.03 on magnetic tile.
    soft_weight: ClassVar[bool] = False

    def _factors(self, vectors: Tensor) -> Tensor:
        distance, neighbour, references = self._neighbours(vectors)
        third = distance[:, :, min(NEIGHBOUR, distance.shape[2]) - 1]
        return self._local_outlier_factors(distance, neighbour, references) * (1 + third)
