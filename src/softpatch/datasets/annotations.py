"""Masks as annotation tools export them: COCO, CVAT for images and Label Studio.

A file of one of these marks many pictures. Outlines are drawn by pycocotools: a pixel is marked
that lies within, x from 0 to the width and pixel 0 from 0 to 1, so that the square from (0, 0) to
(4, 4) is 16 pixels. Some tools count both borders, and have 25.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from softpatch.errors import DatasetError, MissingExtraError, SoftPatchError
from softpatch.runtime.files import open_ordinary
from softpatch.runtime.images import most_pixels

SUFFIXES = (".json", ".xml")
CORNERS = 64  # of an ellipse
REACH = 8  # longer sides of a picture that an outline may lie beyond it, being cut off there
UPLOAD = 9  # characters that Label Studio puts before an uploaded file's name: 1f0c3a7e-7.png

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Marked:
    """What is marked of one picture.

    Attributes:
        size: (height, width) of the picture, as the tool knows it.
        shapes: draw one each, ``(height, width)``.
    """

    size: tuple[int, int]
    shapes: tuple[Callable[[int, int], Bools], ...]


def is_annotations(path: Path) -> bool:
    """Whether a file may be one of these, by its name."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_annotated(path: Path, picture: Path) -> Bools | None:
    """What a file marks of a picture, which it knows by its name with its folder's, or by it alone.

    Returns:
        ``(height, width)``, of the picture as the tool knows it: the pixels that any shape marks.
        None if the file does not know the picture.

    Raises:
        DatasetError: the file is damaged.
        MissingExtraError: what draws them is not installed.
    """
    known = pictures_in(path)
    about = known.get(f"{picture.parent.name}/{picture.name}") or known.get(picture.name)
    if about is None:
        return None
    with _telling_damage(path, f" of {picture.name}"):
        height, width = about.size
        if height < 1 or width < 1 or height * width > most_pixels():
            raise ValueError(f"a picture of {height} x {width} pixels")
        marked = np.zeros(about.size, dtype=bool)
        for draw in about.shapes:
            marked |= draw(*about.size)
    return marked


def pictures_in(path: Path) -> Mapping[str, Marked]:
    """What a file marks, by the last two parts of the pictures' names and by the last alone.

    Other files of these suffixes mark nothing.

    Raises:
        DatasetError: the file is damaged.
    """
    with _telling_damage(path):
        state = path.stat()
        return _pictures_in(path, state.st_mtime_ns, state.st_size)


@contextmanager
def _telling_damage(path: Path, where: str = "") -> Iterator[None]:
    """Numbers, names and nesting in a file may be anything, and so may what is raised by them."""
    try:
        yield
    except (SoftPatchError, MemoryError):
        raise
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise DatasetError(f"{path}: damaged annotations{where} ({reason})") from error


@lru_cache(maxsize=16)
def _pictures_in(path: Path, modified: int, size: int) -> Mapping[str, Marked]:
    del modified, size  # by which a changed file is read again
    with open_ordinary(path) as file:
        content = file.read()
    if path.suffix.lower() == ".xml":
        found = _of_cvat(content)
    else:
        about = json.loads(content)
        if isinstance(about, dict) and {"images", "annotations"} <= about.keys():
            found = _of_coco(about)
        elif isinstance(about, list) and all(isinstance(one, dict) for one in about):
            found = _of_label_studio([one for one in about if "data" in one])
        else:
            return {}
    known: dict[str, Marked] = {}
    for name, marked in found:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        for key in {"/".join(parts[-2:]), parts[-1]}:
            before = known.get(key)
            shapes = marked.shapes if before is None else before.shapes + marked.shapes
            known[key] = Marked(marked.size, shapes)
    return known


# -- COCO ------------------------------------------------------------------------------------------


def _of_coco(about: dict[str, Any]) -> Iterator[tuple[str, Marked]]:
    shapes: dict[Any, list[Callable[[int, int], Bools]]] = {}
    for one in about["annotations"]:
        shape = one.get("segmentation") or [_box(*one["bbox"])]
        shapes.setdefault(one["image_id"], []).append(_drawer(shape))
    for image in about["images"]:
        size = int(image["height"]), int(image["width"])
        yield image["file_name"], Marked(size, tuple(shapes.get(image["id"], ())))


def _drawer(shape: Any) -> Callable[[int, int], Bools]:
    """Draws outlines ``[[x, y, x, y, ...], ...]`` or run lengths as COCO has them."""
    if isinstance(shape, list):
        return lambda height, width: _within(shape, height, width)
    size, counts = [int(side) for side in shape["size"]], shape["counts"]

    def draw(height: int, width: int) -> Bools:
        if size != [height, width]:
            raise ValueError(f"run lengths of {size} pixels in a picture of {[height, width]}")
        runs = _uncompressed(counts) if isinstance(counts, str) else counts
        return _filled(runs, width, height).T  # by columns

    return draw


def _within(outlines: list[Any], height: int, width: int) -> Bools:
    """The pixels within any outline; pycocotools crashes of numbers that are none, or far off."""
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


def _uncompressed(counts: str) -> list[int]:
    """Run lengths of COCO's text: digits of 5 bits, differences to the last run but one."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        digit = ord(character) - 48
        if not 0 <= digit < 64:
            raise ValueError(f"run lengths with {character!r}")
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            value -= (digit & 16) << 1 << (shift - 5)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _filled(lengths: Sequence[float], rows: int, columns: int) -> Bools:
    """The first run lies outside, the next inside, and so on, row by row."""
    runs = [int(length) for length in lengths]
    if min(runs) < 0 or sum(runs) != rows * columns:
        raise ValueError(f"run lengths that do not fill {rows} x {columns} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(rows, columns)


def _box(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _turned(outline: list[float], degrees: float, x: float, y: float) -> list[float]:
    """Clockwise about a point."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    pairs = zip(outline[::2], outline[1::2], strict=True)
    moved = [
        (x + cos * (a - x) - sin * (b - y), y + sin * (a - x) + cos * (b - y)) for a, b in pairs
    ]
    return [value for pair in moved for value in pair]


def _ellipse(x: float, y: float, across: float, down: float) -> list[float]:
    angles = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    points = [(x + across * math.cos(one), y + down * math.sin(one)) for one in angles]
    return [value for pair in points for value in pair]


# -- CVAT for images -------------------------------------------------------------------------------


def _of_cvat(content: bytes) -> Iterator[tuple[str, Marked]]:
    if b"<!ENTITY" in content:  # which could grow without end
        raise ValueError("defines entities")
    root = ElementTree.fromstring(content)
    if root.tag != "annotations":
        return
    for image in root.iter("image"):
        size = int(image.attrib["height"]), int(image.attrib["width"])
        shapes = tuple(draw for one in image if (draw := _cvat_shape(one)) is not None)
        yield image.attrib["name"], Marked(size, shapes)


def _cvat_shape(element: ElementTree.Element) -> Callable[[int, int], Bools] | None:
    """None of points and lines, which have no area."""
    about = element.attrib
    degrees = float(about.get("rotation", 0))
    if element.tag == "polygon":
        points = about["points"].replace(";", ",").split(",")
        return _drawer([[float(value) for value in points]])
    if element.tag == "box":
        left, top, right, bottom = (float(about[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
        outline = _box(left, top, right - left, bottom - top)
        return _drawer([_turned(outline, degrees, (left + right) / 2, (top + bottom) / 2)])
    if element.tag == "ellipse":
        x, y, across, down = (float(about[key]) for key in ("cx", "cy", "rx", "ry"))
        return _drawer([_turned(_ellipse(x, y, across, down), degrees, x, y)])
    if element.tag == "mask":
        left, top, width, height = (int(about[key]) for key in ("left", "top", "width", "height"))
        runs = [int(run) for run in about["rle"].split(",")]
        return lambda rows, columns: _placed(_filled(runs, height, width), left, top, rows, columns)
    return None


def _placed(inside: Bools, left: int, top: int, rows: int, columns: int) -> Bools:
    if not (0 <= top <= rows - inside.shape[0] and 0 <= left <= columns - inside.shape[1]):
        raise ValueError("a mask that reaches beyond the picture")
    marks = np.zeros((rows, columns), dtype=bool)
    marks[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return marks


# -- Label Studio ----------------------------------------------------------------------------------


def _of_label_studio(tasks: list[Any]) -> Iterator[tuple[str, Marked]]:
    for task in tasks:
        results = [
            one
            for made in task.get("annotations") or task.get("completions") or ()
            if not made.get("was_cancelled")
            for one in made["result"]
            if "original_width" in one
        ]
        if not results:
            continue
        size = int(results[0]["original_height"]), int(results[0]["original_width"])
        shapes = [_label_studio_shape(one["type"], one["value"], size) for one in results]
        marked = Marked(size, tuple(shape for shape in shapes if shape is not None))
        for value in task["data"].values():
            if isinstance(value, str):
                name = _file_of(value)
                yield name, marked
                if name[UPLOAD - 1 : UPLOAD] == "-":
                    yield name[UPLOAD:], marked


def _file_of(location: str) -> str:
    """The name in ``/data/upload/1/1f0c3a7e-7.png`` or ``/data/local-files/?d=bad/7.png``."""
    parts = urlsplit(location)
    path = parts.query.removeprefix("d=") if parts.query.startswith("d=") else parts.path
    name = unquote(path)
    return name if parts.query.startswith("d=") else PurePosixPath(name).name


def _label_studio_shape(
    kind: str, value: dict[str, Any], size: tuple[int, int]
) -> Callable[[int, int], Bools] | None:
    """Lengths are in hundredths of the picture's sides; None of what has no area."""
    down, across = size[0] / 100, size[1] / 100
    if kind.startswith("brush"):
        return lambda rows, columns: _brushed(value["rle"], rows, columns)
    if kind.startswith("polygon"):
        return _drawer(
            [[side * one for x, y in value["points"] for side, one in ((across, x), (down, y))]]
        )
    if kind.startswith("rectangle"):
        x, y = value["x"] * across, value["y"] * down
        outline = _box(x, y, value["width"] * across, value["height"] * down)
        return _drawer([_turned(outline, value.get("rotation", 0), x, y)])
    if kind.startswith("ellipse"):
        x, y = value["x"] * across, value["y"] * down
        outline = _ellipse(x, y, value["radiusX"] * across, value["radiusY"] * down)
        return _drawer([_turned(outline, value.get("rotation", 0), x, y)])
    return None


def _brushed(runs: list[int], rows: int, columns: int) -> Bools:
    try:
        from label_studio_sdk.converter.brush import decode_rle
    except ImportError as error:
        raise MissingExtraError(
            "labelstudio", "reading what was brushed in Label Studio"
        ) from error
    marks: Bools = decode_rle(runs).reshape(rows, columns, 4)[:, :, 3] > 0
    return marks
