"""The views of a picture that are looked at, on their way through the network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from softpatch.errors import UsageError
from softpatch.region import Region
from softpatch.tiling import Layout


@dataclass(frozen=True)
class View:
    """One view of a picture.

    Attributes:
        name: of the picture.
        layout: of all its views.
        number: which one this is.
        region: ``(views, P)`` bool, the patches of all views inside the region of interest; None
            without one.
        first, last: of those of the picture that are looked at.
    """

    name: str
    layout: Layout
    number: int
    region: Tensor | None
    first: bool
    last: bool

    @property
    def inside(self) -> Tensor | None:
        """``(P,)`` bool: this view's patches inside the region of interest."""
        return None if self.region is None else self.region[self.number]


def views_of(name: str, layout: Layout, region: Region | None, grid: tuple[int, int]) -> list[View]:
    """The views of a picture that show some of the region of interest.

    Raises:
        UsageError: none of them does.
    """
    if region is None:
        inside = None
        numbers = list(range(len(layout.views)))
    else:
        inside = region.inside(layout, grid)
        numbers = inside.any(dim=1).nonzero().flatten().tolist()
        if not numbers:
            raise UsageError(f"{name}: the region of interest covers no patch; paint it larger")
    return [
        View(name, layout, number, inside, number == numbers[0], number == numbers[-1])
        for number in numbers
    ]
