"""The region of interest, and the tiles of an image that show some of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from softpatch.errors import ImageError, UsageError
from softpatch.images.masks import OddMaskWarning, read_marks
from softpatch.runtime.appearance import Appearance, Window
from softpatch.runtime.errors import printable
from softpatch.runtime.tiling import TileLayout

LONGEST_SIDE = 1024  # pixels a mask is kept with: finer than any patch


class RegionOfInterest:
    """A mask stretched over every image, whatever its size.

    Attributes:
        mask: ``(h, w)`` bool, True inside.
    """

    def __init__(self, mask: Any) -> None:
        """Take over an ``(h, w)`` bool tensor, or an image that marks the inside (``read_marks``).

        Warns if everything is inside.

        Raises:
            ImageError: it cannot be read.
            UsageError: nothing is inside.
        """
        if isinstance(mask, Tensor) and mask.dtype == torch.bool:
            self.mask = mask.cpu()
        else:
            self.mask = _shrunk(torch.from_numpy(read_marks(mask, "the region's mask")))
        if self.mask.ndim != 2:
            raise ImageError("the region's mask", f"expected (h, w), got {tuple(self.mask.shape)}")
        if not bool(self.mask.any()):
            raise UsageError("the region's mask is black all over; paint white what is to be seen")
        if bool(self.mask.all()):
            words = "the region's mask marks everything, so it leaves nothing out"
            warnings.warn(printable(words), OddMaskWarning, stacklevel=2)

    @property
    def window(self) -> Window:
        """Around all that is inside."""
        rows, columns = (self.mask.any(dim=axis).nonzero().flatten() for axis in (1, 0))
        height, width = self.mask.shape
        left, right = int(columns[0]) / width, (int(columns[-1]) + 1) / width
        return left, int(rows[0]) / height, right, (int(rows[-1]) + 1) / height

    def inside(self, layout: TileLayout, grid: tuple[int, int]) -> Tensor:
        """``(tiles, h * w)`` bool: the patches at least half of whose cell lies inside."""
        return _inside(self, layout, grid)

    def frame(self, layout: TileLayout) -> Tensor:
        """``(layout.rows.seen, layout.columns.seen)`` bool: the pixels of the map inside."""
        size = (layout.rows.seen, layout.columns.seen)
        return F.interpolate(self.cut(layout, layout.box)[None, None], size=size)[0, 0] > 0.5

    def cut(self, layout: TileLayout, box: tuple[float, float, float, float]) -> Tensor:
        """``(h, w)`` float32: the mask within a box of the image."""
        height, width = self.mask.shape
        y, x = height / layout.rows.side, width / layout.columns.side
        left, right = round(box[0] * x), round(box[2] * x)
        top, bottom = round(box[1] * y), round(box[3] * y)
        rows = slice(min(top, height - 1), max(bottom, top + 1))
        columns = slice(min(left, width - 1), max(right, left + 1))
        return self.mask[rows, columns].float()


@lru_cache(maxsize=8)  # images of a line have the same size
def _inside(region: RegionOfInterest, layout: TileLayout, grid: tuple[int, int]) -> Tensor:
    cells = [region.cut(layout, layout.tile_box(number)) for number in range(len(layout.tiles))]
    shares = torch.stack([F.adaptive_avg_pool2d(cell[None], grid)[0] for cell in cells])
    return shares.flatten(1) >= 0.5


def _shrunk(mask: Tensor) -> Tensor:
    factor = LONGEST_SIDE / max(mask.shape)
    if factor >= 1:
        return mask
    size = [max(1, round(side * factor)) for side in mask.shape]
    return F.interpolate(mask[None, None].float(), size=size, mode="area")[0, 0] >= 0.5


class OutsideRegion(ImageError, UsageError):
    """An image in which nothing is to be seen: too small, or the region is."""


@dataclass(frozen=True)
class Tile:
    """One tile of an image; the whole of it where it is not cut."""

    name: str  # of the image
    layout: TileLayout  # of all its tiles
    number: int  # which one this is
    region: Tensor | None  # (tiles, P) bool, patches of all tiles inside; None without a region
    first: bool  # whether it is that among the image's tiles that show some of the region
    last: bool
    appearance: Appearance  # what the image looks like
    remark: str | None = None  # what is odd about it

    @property
    def inside(self) -> Tensor | None:
        """``(P,)`` bool: this tile's patches inside the region of interest."""
        return None if self.region is None else self.region[self.number]


def tiles_of(
    name: str,
    layout: TileLayout,
    region: RegionOfInterest | None,
    grid: tuple[int, int],
    appearance: Appearance,
) -> list[Tile]:
    """The tiles of an image that show some of the region of interest.

    Raises:
        OutsideRegion: none does.
    """
    if region is None:
        inside = None
        numbers = list(range(len(layout.tiles)))
    else:
        inside = region.inside(layout, grid)
        numbers = inside.any(dim=1).nonzero().flatten().tolist()
        if not numbers:
            raise OutsideRegion(name, "the region of interest covers no patch; paint it larger")
    return [
        Tile(name, layout, number, inside, number == numbers[0], number == numbers[-1], appearance)
        for number in numbers
    ]
