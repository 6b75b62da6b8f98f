"""Any number of pictures made from a few, to measure how costs grow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

SHIFT = 4  # pixels at most: the discriminators expect aligned parts
BRIGHTNESS = 12  # grey levels at most
NOISE = 4  # likewise

Picture = npt.NDArray[np.uint8]


class GrownPictures:
    """A torch-like Dataset of any size: originals in turn, shifted, brightened and with new noise.

    Picture i is always the same. They are made when they are asked for, so that the memory measured
    is the detector's and not the data's.

    Attributes:
        seconds: spent making pictures so far.
    """

    def __init__(self, paths: Sequence[Path], size: int, side: int = 256, first: int = 0) -> None:
        """Read the originals.

        Args:
            paths: of the originals.
            size: how many pictures there are to be.
            side: of a picture, in pixels.
            first: number of the first picture, for others than those of another dataset.
        """
        self.originals = [_read(path, side) for path in paths[:size]]
        self.size = size
        self.side = side
        self.first = first
        self.seconds = 0.0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Picture:
        started = time.perf_counter()
        number = self.first + index
        generator = np.random.default_rng(number)
        down, right = generator.integers(-SHIFT, SHIFT + 1, size=2)
        brighter = int(generator.integers(-BRIGHTNESS, BRIGHTNESS + 1))
        shape = (self.side, self.side, 3)
        noise = generator.integers(-NOISE, NOISE + 1, size=shape, dtype=np.int8)
        shifted = np.roll(self.originals[number % len(self.originals)], (down, right), axis=(0, 1))
        grown: Picture = np.clip(shifted.astype(np.int16) + noise + brighter, 0, 255).astype("u1")
        self.seconds += time.perf_counter() - started
        return grown


def _read(path: Path, side: int) -> Picture:
    """``(side, side, 3)`` uint8."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(small)
