"""What a mask marks: one reader for the masks of test pictures and for regions of interest.

Masks come in white, in the colours of their classes, as numbers of classes (0 and 1, too), and
painted on a transparent layer. Any channel marks, and so does alpha.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from softpatch.errors import ImageError
from softpatch.runtime.images import read_layers

HALF = 127  # of 255: most masks are white, with edges that are blurred
CLASSES, EDGE = 16, 4  # dark levels at most of a mask of numbers, pixels of a blurred edge
COLOURED = 32  # of 255, between a pixel's channels: it is painted in a colour, however dark

Bools = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.float32]


class OddMaskWarning(UserWarning):
    """A mask that marks everything, which was hardly meant, or one of many that marks nothing."""


def read_marks(content: Any, name: str, threshold: int = HALF) -> Bools:
    """``(H, W)`` bool: the pixels that a mask marks.

    - Where some of it is transparent and some is not, the latter marks, whatever its colour.
    - Else a pixel marks that is brighter than ``threshold`` in any channel, or painted in a colour.
    - A mask without any pixel so bright holds numbers: all but 0 mark. So does one of few levels,
      of which some are darker and reach farther than the blurred edges of what is brighter.

    Args:
        content: a path, a file's bytes, a PIL image, an array ``(H, W)`` / ``(H, W, 1|3|4)`` or a
            tensor ``(H, W)`` / ``(1|3|4, H, W)``.
        name: what errors call it; a path is called by itself.
        threshold: of 255.

    Raises:
        ImageError: unreadable, or no image.
    """
    if hasattr(content, "detach"):  # a tensor, told without torch, which masks seldom are
        values = content.detach().cpu().numpy()
        content = np.moveaxis(values, 0, -1) if values.ndim == 3 else values
    levels = _of_255(read_layers(content, name), name)
    colours = levels[:, :, : 1 if levels.shape[2] == 2 else 3]
    if levels.shape[2] in (2, 4):
        opaque = _bright(levels[:, :, -1], HALF)
        if opaque.any() and not opaque.all():
            return opaque
    brightest = colours.max(axis=2)
    painted = brightest - colours.min(axis=2) >= COLOURED
    marked: Bools = _bright(brightest, threshold) | painted
    return marked


def _bright(levels: Levels, threshold: int) -> Bools:
    marked: Bools = levels > threshold
    dim = (levels > 0) & ~marked
    if dim.any() and (not marked.any() or _are_numbers(levels[dim], dim, marked)):
        marked |= dim
    return marked


def _are_numbers(levels: Levels, dim: Bools, bright: Bools) -> bool:
    """Whether what is dim in a mask are classes, not the edges of what is bright."""
    if len(np.unique(levels)) > CLASSES:
        return False
    some, reached = dim | bright, bright
    for _ in range(EDGE):
        grown = Image.fromarray(reached.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
        reached = some & (np.asarray(grown) > 0)
    return bool((dim & ~reached).any())


def _of_255(values: npt.NDArray[Any], name: str) -> Levels:
    """Values of any type, scaled so that white is 255."""
    if not np.isfinite(values).all():
        raise ImageError(name, "holds NaN or infinite values")
    white = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
    most = values.max()
    if values.dtype.itemsize > 2 and most > 1:  # of 8 or 16 bits, or mere numbers
        if most > 65535:
            return np.where(values == 0, 0, 255).astype(np.float32)
        white = 255 if most <= 255 else 65535
    levels: Levels = np.abs(values.astype(np.float32) * np.float32(255 / white))
    return levels
