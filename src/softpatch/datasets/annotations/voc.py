"""Pascal VOC: a file a picture, with boxes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import PurePath
from xml.etree.ElementTree import Element

from softpatch.datasets.annotations.marked import Marked
from softpatch.datasets.annotations.shapes import Draw, box, outlined, turned, unread

ROOT = "annotation"
BOXES = ("bndbox", "robndbox")
WITHOUT_AREA = {"point", "points", "line", "polyline", "keypoints", "attributes", "actions"}


def of_voc(root: Element, export: PurePath) -> Iterator[Marked]:
    """What it marks. Where no picture has the name in it, the one called as the file is meant."""
    name = root.findtext("filename")
    if name is None:  # a common tag
        return
    folder = root.findtext("folder")
    height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    shapes = [_box(one) for one in root.iter("bndbox")]
    shapes += [_turned_box(one) for one in root.iter("robndbox")]
    shapes += [unread(kind, "export it as COCO") for kind in _others(root)]
    places = (name, f"{folder}/{name}", export.stem + PurePath(name).suffix)
    size = (height, width) if height and width else None
    yield Marked(places if folder else (places[0], places[2]), size, tuple(shapes))


def _box(element: Element) -> Draw:
    left, top, right, bottom = _numbers(element, "xmin", "ymin", "xmax", "ymax")
    return outlined(box(left, top, right - left, bottom - top))


def _turned_box(element: Element) -> Draw:
    """Of roLabelImg, by its centre; the angle is in radians."""
    x, y, width, height, angle = _numbers(element, "cx", "cy", "w", "h", "angle")
    outline = box(x - width / 2, y - height / 2, width, height)
    return outlined(turned(outline, math.degrees(angle), x, y))


def _others(root: Element) -> Iterator[str]:
    """Kinds of shapes, which have numbers below them, of what has no box."""
    for one in root.iter("object"):
        if all(one.find(f".//{kind}") is None for kind in BOXES):
            yield from (part.tag for part in one if len(part) and part.tag not in WITHOUT_AREA)


def _numbers(element: Element, *keys: str) -> list[float]:
    return [float(_text(element, key)) for key in keys]


def _text(element: Element, path: str) -> str:
    found = element.findtext(path)
    if found is None:
        raise ValueError(f"no {path}")
    return found
