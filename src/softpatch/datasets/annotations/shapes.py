"""Drawing what is marked.

Outlines are drawn by pycocotools: a pixel is marked that lies within, x from 0 to the width and
pixel 0 from 0 to 1, so that the square from (0, 0) to (4, 4) is 16 pixels. Some tools count both
borders, and have 25.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from softpatch.errors import MissingExtraError

CORNERS = 64  # of an ellipse
REACH = 8  # longer sides of a picture that an outline may lie beyond it, being cut off there

Bools = npt.NDArray[np.bool_]
Draw = Callable[[int, int], Bools]  # height and width -> the pixels marked


class UnreadShapeError(Exception):
    """A shape that has an area, and is not drawn."""


def unread(kind: str, instead: str = "draw it as a polygon") -> Draw:
    """Of a kind that is not drawn, which matters only where the picture does."""

    def draw(*_: int) -> Bools:
        raise UnreadShapeError(kind, instead)

    return draw


def later(shape: Callable[[Any], Draw], about: Any) -> Draw:
    """Reads a shape when it is drawn, so that a damaged one is told with its picture, if here."""
    return lambda height, width: shape(about)(height, width)


def outlined(*outlines: Any) -> Draw:
    """Draws the pixels within any of the outlines ``[x, y, x, y, ...]``."""
    return lambda height, width: _within(outlines, height, width)


def _within(outlines: Sequence[Any], height: int, width: int) -> Bools:
    """Checked first: pycocotools crashes of numbers that are none, or far off."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise MissingExtraError("annotations", "reading masks of annotation tools") from error
    far = REACH * max(height, width)
    drawn = []
    for outline in outlines:
        values = np.array(outline, dtype=np.float64)
        if values.ndim != 1 or len(values) < 6 or len(values) % 2:
            raise ValueError("an outline that is no list of three points or more")
        if not (abs(values) <= far).all():  # nor is NaN
            raise ValueError("an outline far beyond the picture")
        drawn.append(values.tolist())
    marks: Bools = mask.decode(mask.merge(mask.frPyObjects(drawn, height, width))).astype(bool)
    return marks


def filled(lengths: Sequence[float], rows: int, columns: int) -> Bools:
    """The first run lies outside, the next inside, and so on, row by row."""
    runs = [int(length) for length in lengths]
    if min(runs) < 0 or sum(runs) != rows * columns:
        raise ValueError(f"run lengths that do not fill {rows} x {columns} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(rows, columns)


def placed(inside: Bools, left: int, top: int, rows: int, columns: int) -> Bools:
    """A part of a picture, at its place in it."""
    if not (0 <= top <= rows - inside.shape[0] and 0 <= left <= columns - inside.shape[1]):
        raise ValueError("a mask that reaches beyond the picture")
    marks = np.zeros((rows, columns), dtype=bool)
    marks[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return marks


def box(x: float, y: float, width: float, height: float) -> list[float]:
    """The outline of a rectangle."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def ellipse(x: float, y: float, across: float, down: float) -> list[float]:
    """The outline of an ellipse with these half axes."""
    angles = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    points = [(x + across * math.cos(one), y + down * math.sin(one)) for one in angles]
    return [value for pair in points for value in pair]


def turned(outline: list[float], degrees: float, x: float, y: float) -> list[float]:
    """Clockwise about a point."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    pairs = zip(outline[::2], outline[1::2], strict=True)
    moved = [
        (x + cos * (a - x) - sin * (b - y), y + sin * (a - x) + cos * (b - y)) for a, b in pairs
    ]
    return [value for pair in moved for value in pair]
