"""The shape of a set of images, and a network's input that keeps it.

Squashed to a square, a strip of 500 x 1260 pixels loses its thin cracks: PatchCore on such strips
has an image AUROC of 0.875 and an AUPRO of 0.396, and 0.895 and 0.684 at 144 x 352, which are as
many pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

from softpatch.errors import ImageError
from softpatch.images.decode import image_size
from softpatch.images.sources import ImageSource

LOOKED_AT = 16  # images, at most, whose size is read
ALIKE = 1.1  # ratio up to which two shapes are the same one
OF_ONE_SHAPE = 0.9  # share of the images that have it, else a square serves all the best
SIDES = 16  # pixels that a side is a multiple of: the coarser patch grid is a 16th of it
SHORTEST = 64  # pixels; a shorter side would hold less than eight patches


def usual_shape(sources: Sequence[ImageSource]) -> float | None:
    """Height over width of most images; None where they differ, or none can be read."""
    count = min(LOOKED_AT, len(sources))
    shapes = []
    for at in range(count):
        with suppress(ImageError):  # the fit says so
            source = sources[at * len(sources) // count]
            height, width = image_size(source.content, source.name)
            shapes.append(height / width)
    if not shapes:
        return None
    usual = sorted(shapes)[len(shapes) // 2]
    alike = sum(1 / ALIKE <= shape / usual <= ALIKE for shape in shapes)
    return usual if alike >= OF_ONE_SHAPE * len(shapes) else None


def input_size(shape: float | None, square: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a network's input with that shape, and about as many pixels as a square.

    The square itself for shapes like it, and where there is none.
    """
    if shape is None or 1 / ALIKE <= shape <= ALIKE:
        return square
    area = square[0] * square[1]
    longest = area / SHORTEST
    height, width = (
        SIDES * round(min(longest, max(SHORTEST, math.sqrt(area * ratio))) / SIDES)
        for ratio in (shape, 1 / shape)
    )
    return height, width
