"""COCO: pictures, and what is marked of them by their numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from softpatch.datasets.annotations.marked import Marked
from softpatch.datasets.annotations.shapes import Bools, Draw, box, filled, later, outlined

SIGNS = ({b'"images"', b'"file_name"'}, {b'"annotations"', b'"image_id"'})


def is_coco(about: Any) -> bool:
    """Whether the content of a JSON file is of COCO."""
    return isinstance(about, dict) and {"images", "annotations"} <= about.keys()


def of_coco(about: dict[str, Any]) -> Iterator[Marked]:
    """What it marks; of pictures that it does not list, too.

    Raises:
        ValueError: a number that is marked is of two pictures, as in exports put into one file.
    """
    shapes: dict[Any, list[Draw]] = defaultdict(list)
    for one in about["annotations"]:
        if any(one.get(key) is not None for key in ("segmentation", "bbox")):  # else a mere class
            shapes[one["image_id"]].append(later(_shape, one))
    names: dict[Any, str] = {}
    for image in about["images"]:
        number, name = image["id"], str(image["file_name"])
        before = names.setdefault(number, name)
        if before != name and number in shapes:
            raise ValueError(f"id {number} is of two pictures, {before} and {name}")
    for image in about["images"]:
        size = int(image["height"]), int(image["width"])
        yield Marked((str(image["file_name"]),), size, tuple(shapes.pop(image["id"], ())))
    for number, drawn in shapes.items():
        yield Marked((f"image_id {number}",), None, tuple(drawn))


def _shape(about: dict[str, Any]) -> Draw:
    """Its outlines; its box where none has three points."""
    shape = about.get("segmentation") or []
    if isinstance(shape, dict):
        return _run_lengths(shape)
    outlines = [one for one in shape if isinstance(one, list) and len(one) >= 6]
    if outlines:
        return outlined(*outlines)
    if not about.get("bbox"):
        raise ValueError("neither an outline of three points or more nor a box")
    return outlined(box(*about["bbox"]))


def _run_lengths(shape: dict[str, Any]) -> Draw:
    size, counts = [int(side) for side in shape["size"]], shape["counts"]

    def draw(height: int, width: int) -> Bools:
        if size != [height, width]:
            raise ValueError(f"run lengths of {size} pixels in a picture of {[height, width]}")
        runs = _uncompressed(counts) if isinstance(counts, str) else counts
        return filled(runs, width, height).T  # by columns

    return draw


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
