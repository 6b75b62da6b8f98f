"""The frame of most images of a set, and the input of a network that shows it well.

Squashed to a square, a strip of 500 x 1260 pixels loses its thin cracks, and reduced to few pixels
any image its small defects; as many pixels as there are show nothing more than half of them.
docs/robust.md has what each is worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from statistics import median

from softpatch.images.decode import image_size
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import spread

LOOKED_AT = 16  # images, at most, whose size counts
ALIKE = 1.1  # ratio up to which two shapes are the same one
OF_ONE_SHAPE = 0.9  # share of the images that have it, else a square serves all the best
MOST = 320 * 320  # pixels: twice as many take twice the time
REDUCED = 2  # pixels of an image, at least, that one pixel shows, but where it has very few
SIDES = 16  # pixels that a side is a multiple of: the coarser patch grid is a 16th of it
SHORTEST = 64  # pixels; a shorter side would hold less than eight patches


def input_size(sources: Sequence[ImageSource], least: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a network's input that suits most images.

    It has the shape that nearly all of them have, else a square's, and half as many pixels as
    they have, but not more than ``MOST``.

    Args:
        sources: the images, of which a few are opened.
        least: an input with as many pixels as there are at least; taken where none can be opened.
    """
    sizes: list[tuple[int, int]] = []
    for place in spread(len(sources), LOOKED_AT):
        with suppress(Exception):  # the fit says so
            source = sources[place]
            sizes.append(image_size(source.content, source.name))
        if len(sizes) == LOOKED_AT:
            break
    if not sizes:
        return least
    pixels = median(height * width for height, width in sizes) / REDUCED
    area = min(MOST, max(least[0] * least[1], pixels))
    return sides(_usual([height / width for height, width in sizes]), area)


def sides(shape: float, area: float) -> tuple[int, int]:
    """(height, width) of that shape, height over width, with about so many pixels."""
    longest = area / SHORTEST
    height, width = (
        SIDES * round(min(longest, max(SHORTEST, math.sqrt(area * ratio))) / SIDES)
        for ratio in (shape, 1 / shape)
    )
    return height, width


def _usual(shapes: list[float]) -> float:
    """The shape of nearly all; 1 where it is nearly a square, or where they differ."""
    usual = sorted(shapes)[len(shapes) // 2]
    alike = sum(1 / ALIKE <= shape / usual <= ALIKE for shape in shapes)
    square = 1 / ALIKE <= usual <= ALIKE
    return 1.0 if square or alike < OF_ONE_SHAPE * len(shapes) else usual
