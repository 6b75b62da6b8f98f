"""COCO: pictures, and what is marked of them by their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from softpatch.datasets.annotations.marked import Marked
from softpatch.datasets.annotations.shapes import Bools, Draw, box, filled, outlined

SIGNS = ({b'"images"', b'"file_name"'}, {b'"annotations"', b'"image_id"'})


def is_coco(about: Any) -> bool:
    """Whether the content of a JSON file is of COCO."""
    return isinstance(about, dict) and {"images", "annotations"} <= about.keys()


def of_coco(about: dict[str, Any]) -> Iterator[Marked]:
    """What it marks; of pictures that it does not list, too."""
    shapes: dict[Any, list[Draw]] = {}
    for one in about["annotations"]:
        shape = one.get("segmentation") or [box(*one["bbox"])]
        draw = outlined(*shape) if isinstance(shape, list) else _run_lengths(shape)
        shapes.setdefault(one["image_id"], []).append(draw)
    for image in about["images"]:
        size = int(image["height"]), int(image["width"])
        yield Marked((str(image["file_name"]),), size, tuple(shapes.pop(image["id"], ())))
    for number, drawn in shapes.items():
        yield Marked((f"image_id {number}",), None, tuple(drawn))


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
