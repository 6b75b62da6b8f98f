"""Pascal VOC: a file a picture, with boxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from xml.etree.ElementTree import Element

from softpatch.datasets.annotations.marked import Marked
from softpatch.datasets.annotations.shapes import box, outlined

ROOT = "annotation"


def of_voc(root: Element, export: PurePath) -> Iterator[Marked]:
    """What it marks. Where no picture has the name in it, the one called as the file is meant."""
    name = root.findtext("filename")
    if name is None:  # a common tag
        return
    folder = root.findtext("folder")
    height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    boxes = []
    for one in root.iter("bndbox"):
        left, top, right, bottom = (
            float(_text(one, key)) for key in ("xmin", "ymin", "xmax", "ymax")
        )
        boxes.append(outlined(box(left, top, right - left, bottom - top)))
    places = (name, f"{folder}/{name}", export.stem + PurePath(name).suffix)
    size = (height, width) if height and width else None
    yield Marked(places if folder else (places[0], places[2]), size, tuple(boxes))


def _text(element: Element, path: str) -> str:
    found = element.findtext(path)
    if found is None:
        raise ValueError(f"no {path}")
    return found
