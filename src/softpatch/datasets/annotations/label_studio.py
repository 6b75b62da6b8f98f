"""Label Studio: tasks of a picture, or of several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from softpatch.datasets.annotations.marked import Export, Marked
from softpatch.datasets.annotations.matching import decoded
from softpatch.datasets.annotations.shapes import (
    Bools,
    Draw,
    box,
    ellipse,
    later,
    outlined,
    turned,
    unread,
)
from softpatch.errors import MissingExtraError
from softpatch.runtime.listing import why_no_image

SIGNS = ({b'"original_width"', b'"result"'},)

WITHOUT_AREA = (  # of a result's type, from its beginning: points, and what is said of a shape
    "keypoint", "labels", "choices", "textarea", "number", "rating", "taxonomy", "datetime",
)  # fmt: skip


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


def of_label_studio(tasks: list[dict[str, Any]], path: Path) -> Export:
    """What it marks."""
    pictures: list[Marked] = []
    unclear: list[str] = []
    for number, task in enumerate(tasks, start=1):
        by_place: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
        for one in _results(task):
            by_place[_place(task["data"], one)].append(one)
        for place, results in by_place.items():
            size = int(results[0]["original_height"]), int(results[0]["original_width"])
            shapes = tuple(later(_shape, one) for one in results if _has_area(one))
            if place is not None:
                pictures.append(Marked((place,), size, shapes))
            elif shapes:
                unclear.append(f"task {task.get('id', number)}")
    return Export(path, tuple(pictures), unclear=tuple(unclear))


def _results(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for made in task.get("annotations") or task.get("completions") or ():
        if not made.get("was_cancelled"):
            yield from (one for one in made["result"] if "original_width" in one)


def _place(data: Mapping[str, Any], result: Mapping[str, Any]) -> str | None:
    """Where the picture is that a result marks; None if it may be one or another.

    It is what has the key by which the project calls it, if any has, or else the only one.
    """
    called = data.get(result.get("to_name", ""))
    values = [called] if isinstance(called, (str, list)) else data.values()
    strings = {one for value in values if (one := _strings(value))}
    found = {one for one in strings if any(map(_is_picture, one))} or strings
    pages = found.pop() if len(found) == 1 else ()
    number = 0 if len(pages) == 1 else result.get("item_index")
    return pages[number] if isinstance(number, int) and 0 <= number < len(pages) else None


def _strings(value: Any) -> tuple[str, ...]:
    """One, or a list of them."""
    values = value if isinstance(value, list) else [value]
    return tuple(values) if all(isinstance(one, str) for one in values) else ()


def _is_picture(place: str) -> bool:
    return any(why_no_image(PurePath(name).name) is None for name in decoded(place))


def _has_area(result: Mapping[str, Any]) -> bool:
    kind = result["type"]
    is_line = kind.startswith("vector") and not result["value"].get("closed")
    return not (is_line or kind.startswith(WITHOUT_AREA))


def _shape(result: Mapping[str, Any]) -> Draw:
    """Lengths are in hundredths of the picture's sides."""
    kind, value = result["type"], result["value"]
    down, across = result["original_height"] / 100, result["original_width"] / 100
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
    return unread(kind)


def _brushed(runs: list[int], rows: int, columns: int) -> Bools:
    try:
        from label_studio_sdk.converter.brush import decode_rle
    except ImportError as error:
        raise MissingExtraError(
            "labelstudio", "reading what was brushed in Label Studio"
        ) from error
    marks: Bools = decode_rle(runs).reshape(rows, columns, 4)[:, :, 3] > 0
    return marks
