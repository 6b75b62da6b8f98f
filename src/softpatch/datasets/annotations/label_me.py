"""Label Me: a file a picture."""

from __future__ import annotations

import base64
import io
import math
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from softpatch.datasets.annotations.marked import Marked
from softpatch.datasets.annotations.shapes import Draw, box, ellipse, outlined, placed, unread

SIGNS = ({b'"shapes"', b'"imagePath"'}, {b'"shapes"', b'"shape_type"'})
WITHOUT_AREA = {"point", "points", "line", "linestrip"}


def is_label_me(about: Any) -> bool:
    """Whether the content of a JSON file is of Label Me."""
    return isinstance(about, dict) and {"shapes", "imagePath"} <= about.keys()


def of_label_me(about: dict[str, Any], export: PurePath) -> Marked:
    """What it marks. Where no picture has the name in it, the one called as the file is meant."""
    name = about["imagePath"].replace("\\", "/")
    height, width = (int(about.get(f"image{side}") or 0) for side in ("Height", "Width"))
    size = (height, width) if height and width else None
    drawn = (_shape(one) for one in about["shapes"])
    shapes = tuple(draw for draw in drawn if draw is not None)
    return Marked((name, export.stem + PurePath(name).suffix), size, shapes)


def _shape(about: dict[str, Any]) -> Draw | None:
    """None of points and lines, which have no area."""
    kind, points = about.get("shape_type") or "polygon", about["points"]
    if kind in WITHOUT_AREA:
        return None
    outline = kind in ("polygon", "oriented_rectangle")
    if outline or (kind == "rectangle" and len(points) == 4):  # its corners, in later versions
        return outlined([value for x, y in points for value in (x, y)])
    if kind not in ("rectangle", "circle", "mask"):
        return unread(kind)
    (left, top), (right, bottom) = points
    if kind == "rectangle":
        return outlined(box(left, top, right - left, bottom - top))
    if kind == "circle":  # from its centre to a point on it
        radius = math.dist((left, top), (right, bottom))
        return outlined(ellipse(left, top, radius, radius))
    content = about["mask"]
    return lambda rows, columns: placed(_painted(content), int(left), int(top), rows, columns)


def _painted(content: str) -> Any:
    """A picture of the box alone, in text."""
    with Image.open(io.BytesIO(base64.b64decode(content)), formats=("PNG",)) as image:
        return np.asarray(image.convert("L")) > 0
