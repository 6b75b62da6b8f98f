"""From an image of any size to the network's input, and back to the image's coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from softpatch.errors import UsageError
from softpatch.images.decode import to_unit
from softpatch.ranges.kinds import sides
from softpatch.runtime.appearance import Window
from softpatch.runtime.intensity import FULL, Intensity
from softpatch.runtime.tiling import TileLayout


@dataclass(frozen=True)
class Preprocessing:
    """Cut into tiles, resize, centre crop, normalise: one record, kept with the model.

    An image, or each tile of a large one, is resized to ``resize`` whatever its shape, as
    anti-aliased bilinear; ``softpatch.images.shape`` finds a ``resize`` that keeps it. METHOD:
    256 -> 224, no tiles.

    Attributes:
        resize: (height, width) in pixels.
        crop: (height, width) of the centre crop, at most ``resize``.
        mean: per channel, in [0, 1] units.
        std: per channel, in [0, 1] units.
        tile: (height, width) in pixels of the image; an image no larger is not cut. None
            never cuts.
        intensity: which values of images of more than 8 bits are black and white.
    """

    resize: tuple[int, int]
    crop: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tile: tuple[int, int] | None = None
    intensity: Intensity = FULL

    def __post_init__(self) -> None:
        if min(self.crop) < 1 or self.crop[0] > self.resize[0] or self.crop[1] > self.resize[1]:
            raise UsageError(f"crop {sides(self.crop)} must lie within resize {sides(self.resize)}")

    @property
    def min_decode_side(self) -> int | None:
        """Pixels a side of an image need not exceed; None with tiles, which show every pixel.

        Twice what it is resized to: the resizing then still averages over pixels.
        """
        return 2 * max(self.resize) if self.tile is None else None

    @property
    def window(self) -> Window:
        """What the crop shows of an image, or of a tile."""
        height, width = self.resize
        left, top, right, bottom = self.layout(height, width).box
        return left / width, top / height, right / width, bottom / height

    def layout(self, height: int, width: int) -> TileLayout:
        """The tiles of an image of that size."""
        return TileLayout.of((height, width), self.tile, self.resize, self.crop)

    def __call__(self, image: Tensor) -> Tensor:
        """``(3, H, W)`` uint8, or float in [0, 1] -> ``(tiles, 3, *crop)`` float32, normalised."""
        mean = torch.tensor(self.mean).view(3, 1, 1)
        std = torch.tensor(self.std).view(3, 1, 1)
        tiles = self.layout(*image.shape[1:]).tiles
        seen = torch.stack([self.frame(image[:, rows, columns]) for rows, columns in tiles])
        return seen.sub_(mean).div_(std)

    def frame(self, image: Tensor) -> Tensor:
        """``(C, H, W)`` -> ``(C, h, w)`` in [0, 1]: what all tiles show, at their scale."""
        layout = self.layout(*image.shape[1:])
        rows, columns = layout.rows, layout.columns
        size = (rows.resized, columns.resized)
        resized = F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
        top, left = rows.offset, columns.offset
        return to_unit(resized[:, top : top + rows.seen, left : left + columns.seen])
