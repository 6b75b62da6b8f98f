"""What the network sees of an image: all of it at once, or overlapping tiles of a large one.

A tile is to the network what a small image is: cut out, resized, cropped at its border. Rows and
columns of tiles are independent, so each side of an image is described on its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

OVERLAP = 1 / 8  # of what is seen of a tile, at least, is seen of the next one too


@dataclass(frozen=True)
class Axis:
    """The tiles along one side of an image.

    Attributes:
        side: length of the side in pixels.
        starts: first pixel of each tile, ascending.
        cut: length of every tile in pixels.
        resize, crop: of ``Preprocessing`` on this side: a tile is scaled to ``resize`` and its
            middle ``crop`` is seen.
    """

    side: int
    starts: tuple[int, ...]
    cut: int
    resize: int
    crop: int

    @property
    def offset(self) -> int:
        """First pixel of the crop in a resized tile."""
        return round((self.resize - self.crop) / 2)

    @property
    def scale(self) -> float:
        """Pixels the network sees of one pixel of the image."""
        return self.resize / self.cut

    @property
    def resized(self) -> int:
        """Length of the whole side at that scale."""
        return round(self.starts[-1] * self.scale) + self.resize

    @property
    def seen(self) -> int:
        """Length of what all tiles together show, at that scale: the anomaly map's."""
        return self.resized - self.resize + self.crop

    @property
    def span(self) -> tuple[float, float]:
        """Where that begins and ends, in pixels of the image."""
        begin = self.offset / self.scale
        return begin, self.starts[-1] + (self.offset + self.crop) / self.scale


@dataclass(frozen=True)
class TileLayout:
    """The tiles of one image, row by row."""

    rows: Axis  # how they divide its height
    columns: Axis  # how they divide its width

    @classmethod
    def of(
        cls,
        size: Sequence[int],
        tile: Sequence[int] | None,
        resize: Sequence[int],
        crop: Sequence[int],
    ) -> TileLayout:
        """How ``Preprocessing`` cuts an image of that size; every argument is (height, width)."""
        height, width = tile or (None, None)
        return cls(
            divide(size[0], height, resize[0], crop[0]), divide(size[1], width, resize[1], crop[1])
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return len(self.rows.starts), len(self.columns.starts)

    @cached_property
    def tiles(self) -> tuple[tuple[slice, slice], ...]:
        """Rows and columns of pixels each tile is cut from."""
        return tuple(
            (slice(top, top + self.rows.cut), slice(left, left + self.columns.cut))
            for top in self.rows.starts
            for left in self.columns.starts
        )

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of what the network sees, in pixels of the image."""
        (top, bottom), (left, right) = self.rows.span, self.columns.span
        return left, top, right, bottom

    def tile_box(self, number: int) -> tuple[float, float, float, float]:
        """The same of one tile."""
        row, column = divmod(number, len(self.columns.starts))
        (top, height), (left, width) = (
            (axis.starts[at] + axis.offset / axis.scale, axis.crop / axis.scale)
            for axis, at in ((self.rows, row), (self.columns, column))
        )
        return left, top, left + width, top + height


def divide(side: int, tile: int | None, resize: int, crop: int) -> Axis:
    """Tiles of ``tile`` pixels over a side, evenly spaced; one of the whole side if it is shorter.

    What is seen of neighbouring tiles overlaps by an eighth at least. What is beyond the first and
    the last tile's crop is not seen, as it is not without tiles.
    """
    if tile is None or side <= tile:
        return Axis(side, (0,), side, resize, crop)
    stride = max(1, int(tile * crop / resize * (1 - OVERLAP)))
    steps = math.ceil((side - tile) / stride)
    starts = tuple(round(step * (side - tile) / steps) for step in range(steps + 1))
    return Axis(side, starts, tile, resize, crop)
