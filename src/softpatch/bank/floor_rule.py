"""What a patch of a picture needs, to be taken as good: the like in so many others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FloorRule:
    """What a floor is.

    Attributes:
        rank: the distance to the picture of this rank counts; 0 is no floor.
        near: only patches at the vector's position, or beside it, count as like it.
        spread: share of the bank's spacing that is added, in quadrature. A floor is measured to
            all patches of a picture, a score to those that the bank kept of it.
    """

    rank: int
    near: bool
    spread: float

    def __str__(self) -> str:
        """What a patch needs, to be taken as good: in words for people."""
        if not self.rank:
            return "one picture that has the like"
        others = (
            "another picture that has"
            if self.rank == 1
            else f"{self.rank} other pictures that have"
        )
        return f"{others} the like{' at the same place' if self.near else ''}"
