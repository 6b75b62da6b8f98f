"""CVAT for images 1.1."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from softpatch.datasets.annotations.marked import Marked
from softpatch.datasets.annotations.shapes import (
    Draw,
    box,
    ellipse,
    filled,
    later,
    outlined,
    placed,
    turned,
    unread,
)

ROOT = "annotations"
WITHOUT_AREA = {"points", "polyline", "skeleton", "tag"}


def is_of_video(root: Element) -> bool:
    """Whether it marks tracks through the frames of a video, not pictures."""
    return root.find("track") is not None and root.find("image") is None


def of_cvat(root: Element) -> Iterator[Marked]:
    """What it marks."""
    for image in root.iter("image"):
        size = int(image.attrib["height"]), int(image.attrib["width"])
        shapes = tuple(later(_shape, one) for one in image if one.tag not in WITHOUT_AREA)
        yield Marked((image.attrib["name"],), size, shapes)


def _shape(element: Element) -> Draw:
    about = element.attrib
    degrees = float(about.get("rotation", 0))
    if element.tag == "polygon":
        points = about["points"].replace(";", ",").split(",")
        return outlined([float(value) for value in points])
    if element.tag == "box":
        left, top, right, bottom = (float(about[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
        outline = box(left, top, right - left, bottom - top)
        return outlined(turned(outline, degrees, (left + right) / 2, (top + bottom) / 2))
    if element.tag == "ellipse":
        x, y, across, down = (float(about[key]) for key in ("cx", "cy", "rx", "ry"))
        return outlined(turned(ellipse(x, y, across, down), degrees, x, y))
    if element.tag == "mask":
        left, top, width, height = (int(about[key]) for key in ("left", "top", "width", "height"))
        runs = [int(run) for run in about["rle"].split(",")]
        return lambda rows, columns: placed(filled(runs, height, width), left, top, rows, columns)
    return unread(element.tag)
