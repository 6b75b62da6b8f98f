"""Label Studio: tasks of one picture each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from softpatch.datasets.annotations.marked import Marked
from softpatch.datasets.annotations.shapes import Bools, Draw, box, ellipse, outlined, turned
from softpatch.errors import MissingExtraError

SIGNS = ({b'"original_width"', b'"result"'},)


def is_label_studio(about: Any) -> bool:
    """Whether the content of a JSON file is of Label Studio, as JSON."""
    return _is_list_with(about, {"data"}) and any(
        key in one for one in about for key in ("annotations", "completions")
    )


def is_minimal(about: Any) -> bool:
    """Whether it is of Label Studio, as JSON-MIN."""
    return _is_list_with(about, {"annotation_id", "annotator"})


def _is_list_with(about: Any, keys: set[str]) -> bool:
    if not isinstance(about, list) or not all(isinstance(one, dict) for one in about):
        return False
    return any(keys <= one.keys() for one in about)


def of_label_studio(tasks: list[dict[str, Any]]) -> Iterator[Marked]:
    """What it marks."""
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
        shapes = [_shape(one["type"], one["value"], size) for one in results]
        # Which of a task's data is the picture is up to the project.
        places = tuple(value for value in task["data"].values() if isinstance(value, str))
        yield Marked(places, size, tuple(shape for shape in shapes if shape is not None))


def _shape(kind: str, value: dict[str, Any], size: tuple[int, int]) -> Draw | None:
    """Lengths are in hundredths of the picture's sides; None of what has no area."""
    down, across = size[0] / 100, size[1] / 100
    if kind.startswith("brush"):
        return lambda rows, columns: _brushed(value["rle"], rows, columns)
    if kind.startswith("polygon"):
        pairs = ((x * across, y * down) for x, y in value["points"])
        return outlined([one for pair in pairs for one in pair])
    if kind.startswith("rectangle"):
        x, y = value["x"] * across, value["y"] * down
        outline = box(x, y, value["width"] * across, value["height"] * down)
        return outlined(turned(outline, value.get("rotation", 0), x, y))
    if kind.startswith("ellipse"):
        x, y = value["x"] * across, value["y"] * down
        outline = ellipse(x, y, value["radiusX"] * across, value["radiusY"] * down)
        return outlined(turned(outline, value.get("rotation", 0), x, y))
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
