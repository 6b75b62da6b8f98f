"""Which values of the training images of more than 8 bits are black and white.

All of them are looked at, since a dark one shows little of what a camera gives. Of those that are
not files, or have to be fetched, that would take as long as reading all of them twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from softpatch.images.decode import plain
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import READERS, spread
from softpatch.runtime.images import set_bits
from softpatch.runtime.intensity import FULL, LARGEST, Intensity

LOOKED_AT = 16  # images that tell of what kind all are
ALL_BITS = LARGEST + 1 >> 1 | 1  # the highest and the lowest: others do not matter


def seen_intensity(sources: Sequence[ImageSource]) -> Intensity:
    """What holds the values of all images of more than 8 bits; that of 16 bits without any.

    Files are all looked at, of most the header alone. Other images are if some among a few have
    more than 8 bits; of images that are made or fetched when they are read, these few.
    """
    order = spread(len(sources), LOOKED_AT)
    few = [sources[place] for place in islice(order, LOOKED_AT)]
    bits = _bits(few)
    if bits or any(isinstance(source.content, Path) for source in few):
        others = (sources[place] for place in order)
        bits |= _bits((source for source in others if not callable(source.content)), bits)
    return Intensity.of_bits(bits) if bits else FULL


def _bits(sources: Iterable[ImageSource], known: int = 0) -> int:
    """The bits that are set in any value; those that cannot be read have none."""
    with ThreadPoolExecutor(READERS) as pool:
        remaining = iter(sources)
        while known & ALL_BITS != ALL_BITS and (some := list(islice(remaining, READERS))):
            for bits in pool.map(_of_one, some):
                known |= bits
    return known


def _of_one(source: ImageSource) -> int:
    try:
        return set_bits(plain(source.content), source.name)
    except Exception:  # the fit says so
        return 0
