"""Large pictures in overlapping tiles, and one map of all of them, as softpatch makes them.

Rows and columns of tiles are independent, so each side of a picture is described on its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from softpatch_runtime.engine import Run

TOGETHER = 4  # tiles that are scored at a time: memory does not grow with the picture
OVERLAP = 1 / 8  # of what is seen of a tile, at least, is seen of the next one too
BLUR_SIGMA = 4.0  # pixels of the map
TRUNCATE = 4.0  # the Gaussian is cut off at this many sigmas


@dataclass(frozen=True)
class Axis:
    """The tiles along one side of a picture.

    Attributes:
        side: length of the side in pixels.
        starts: first pixel of each tile, ascending.
        cut: length of every tile in pixels.
        resize, crop: a tile is scaled to ``resize`` and its middle ``crop`` is seen.
    """

    side: int
    starts: tuple[int, ...]
    cut: int
    resize: int
    crop: int

    @property
    def tiles(self) -> list[slice]:
        """Pixels of each tile."""
        return [slice(start, start + self.cut) for start in self.starts]

    @property
    def scale(self) -> float:
        """Pixels the network sees of one pixel of the picture."""
        return self.resize / self.cut

    @property
    def seen(self) -> int:
        """Length of the map."""
        return round(self.starts[-1] * self.scale) + self.crop

    @property
    def span(self) -> tuple[float, float]:
        """Where the map begins and ends, in pixels of the picture."""
        begin = round((self.resize - self.crop) / 2) / self.scale
        return begin, self.starts[-1] + begin + self.crop / self.scale


def divide(side: int, tile: int, resize: int, crop: int) -> Axis:
    """Tiles over a side, evenly spaced; one of the whole side if it is shorter than a tile."""
    if side <= tile:
        return Axis(side, (0,), side, resize, crop)
    stride = max(1, int(tile * crop / resize * (1 - OVERLAP)))
    steps = math.ceil((side - tile) / stride)
    starts = tuple(round(step * (side - tile) / steps) for step in range(steps + 1))
    return Axis(side, starts, tile, resize, crop)


def score_tiles(
    run: Run, picture: npt.NDArray[np.uint8], preprocessing: Mapping[str, Any]
) -> tuple[float, npt.NDArray[np.float32], tuple[float, float, float, float]]:
    """Score a picture tile by tile.

    Args:
        run: gives ``score`` ``(B,)`` and ``patches`` ``(B, h, w)`` of tiles.
        picture: ``(H, W, 3)``.
        preprocessing: ``tile``, ``resize`` and ``crop`` of the model, each (height, width).

    Returns:
        score, map, and the (left, top, right, bottom) that the map covers.
    """
    rows, columns = (
        divide(*sides)
        for sides in zip(
            picture.shape[:2],
            preprocessing["tile"],
            preprocessing["resize"],
            preprocessing["crop"],
            strict=True,
        )
    )
    tiles = [picture[down, across] for down in rows.tiles for across in columns.tiles]
    parts = [
        run(np.stack(tiles[start : start + TOGETHER])) for start in range(0, len(tiles), TOGETHER)
    ]
    patches = np.concatenate([part["patches"] for part in parts])
    worst = patches.max(axis=(1, 2)).argmax()  # its tile speaks for the picture
    score = float(np.concatenate([part["score"] for part in parts])[worst])

    h, w = patches.shape[1:]
    down, across = len(rows.starts), len(columns.starts)
    grid = patches.reshape(down, across, h, w).transpose(0, 2, 1, 3).reshape(down * h, across * w)
    heat = blurred_upsampling(rows, h) @ grid @ blurred_upsampling(columns, w).T
    (top, bottom), (left, right) = rows.span, columns.span
    return score, heat, (left, top, right, bottom)


@lru_cache(maxsize=4)  # pictures of a line have the same size
def blurred_upsampling(axis: Axis, length: int) -> npt.NDArray[np.float32]:
    """``(axis.seen, tiles * length)``: a column of patches of all tiles -> its pixels.

    Upsampled bilinearly, blended where tiles overlap, the more of a tile the farther from its
    border, and blurred. All that is linear and acts on rows and columns alike.
    """
    begin = np.array(axis.starts) * axis.scale
    exact = float(begin[-1]) + axis.crop  # ``seen`` is rounded
    pixel = (np.arange(axis.seen) + 0.5) * (exact / axis.seen)  # centres
    within = pixel[:, None] - begin  # (seen, tiles) position in each tile's crop
    weight = np.minimum(within, axis.crop - within).clip(min=0)
    weight /= weight.sum(axis=1, keepdims=True)
    patch = (within * (length / axis.crop) - 0.5).clip(0, length - 1)
    near = (1 - np.abs(patch[:, :, None] - np.arange(length))).clip(min=0)
    sharp = (weight[:, :, None] * near).reshape(axis.seen, -1)

    radius = int(TRUNCATE * BLUR_SIGMA + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / BLUR_SIGMA) ** 2)
    blurred = np.zeros(sharp.shape)
    for offset, share in zip(offsets, kernel / kernel.sum(), strict=True):
        # Mirrored at both ends, edge pixel included, as often as it takes.
        source = (np.arange(axis.seen) + offset) % (2 * axis.seen)
        blurred += share * sharp[np.minimum(source, 2 * axis.seen - 1 - source)]
    return blurred.astype(np.float32)
