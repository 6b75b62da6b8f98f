"""Floors: no patch scores less than what its nearest bank vector has to show in other pictures.

A bank that keeps every patch keeps the defects. Leaving out what is rare costs clean sets their
rare good patches. So everything is kept, with a floor: nothing near a vector scores less than the
vector's own patch would score had its picture, and the ``rank - 1`` most similar ones, not been
seen. A vector with many like it has a floor below what good patches score anyway. It is the
reachability distance of Breunig et al. (LOF, 2000), over pictures instead of patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from softpatch.bank.floor_rule import FloorRule
from softpatch.bank.support import Support

# Distances below this share of the spacing do not tell patches apart: the bank has nothing nearer
# than that to most of its own training patches. Told apart they are noise on heat maps: without
# this limit screws have a pixel AUROC of 0.947 for 0.963, turned bottles of 0.964 for 0.969.
LEAST = 0.85


@dataclass(frozen=True)
class Floors:
    """Of m bank vectors.

    Attributes:
        support: in other pictures, of the rule's kind; one more than its rank.
        rule: what a floor is.
        spacing: how far apart vectors of the bank are at least.
    """

    support: Support
    rule: FloorRule
    spacing: float

    @classmethod
    def of(cls, support: Support, rule: FloorRule, spacing: float) -> Self:
        """With as much of the support as the rule needs."""
        return cls(support.first(rule.rank + 1), rule, spacing)

    def every(self) -> Tensor:
        """``(m,)`` float32 distances."""
        return self._raised(self.support.rank(self.rule.rank) if self.rule.rank else None)

    def without(self, picture: int) -> Tensor:
        """``(m,)``: as if the picture had not been seen."""
        rank = self.rule.rank
        return self._raised(self.support.rank_without(picture, rank) if rank else None)

    def of_stand_ins(self) -> Tensor:
        """``(m,)`` of what stands in for the vectors, see ``softpatch.bank.stand_ins``.

        A stand-in is of the picture most like the vector, which does not count for it.
        """
        rank = self.rule.rank
        return self._raised(self.support.rank(rank + 1) if rank else None)

    def _raised(self, distances: Tensor | None) -> Tensor:
        least = LEAST * self.spacing
        if distances is None:
            return torch.full((len(self.support),), least, device=self.support.own.device)
        spread = (self.rule.spread * self.spacing) ** 2
        return (distances.square() + spread).sqrt().clamp(min=least)


def spacing(vectors: Tensor) -> float:
    """How far apart ``(m, D)`` vectors are, the last of which was picked last, farthest-first.

    As it was picked no patch was farther from the others, so every training patch is as near as
    that to the bank.
    """
    if len(vectors) < 2:
        return 0.0
    return float(torch.linalg.vector_norm(vectors[:-1] - vectors[-1], dim=1).min())
