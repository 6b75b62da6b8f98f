"""The sections of a page about how costs grow."""

from __future__ import annotations

import math
from collections.abc import Sequence

from softpatch.benchmark.figures import Figure, Line, Panel, draw_panels
from softpatch.benchmark.results import OK, Row
from softpatch.benchmark.table import MISSING, Labels, Section, Table, grouped

NAMES = {
    "images": "number of training pictures",
    "image_size": "pixels of a picture",
    "bank_size": "vectors in the memory bank",
}
AXES = {
    "images": (100, 250, 500, 1000, 2500, 5000),
    "image_size": (112, 168, 224, 336, 448),
    "bank_size": (1250, 2500, 5000, 10_000, 20_000),
}
STEPS = ("embed", "discriminate", "coreset", "gaussians")  # as progress calls them
MEASURED = {
    **{f"{step}_seconds": step for step in STEPS},
    "other_seconds": "rest of the fit",
    "fit_seconds": "whole fit",
    "predict_seconds_per_image": "predict a picture",
    "peak_memory_mb": "peak memory",
}
FLAT, LINEAR = 0.15, (0.85, 1.15)  # exponents that are called flat and linear


def scaling_sections(rows: Sequence[Row]) -> list[Section]:
    """One section for each axis that was measured, and the measurements that failed."""
    labels = Labels(rows)
    lost = [row for row in rows if row["status"] != OK]
    found = []
    if lost:
        lines = tuple((f"{_words(row)}", row["reason"]) for row in lost)
        table = Table("Measurements that failed", ("which", "why"), lines, words=2)
        found.append(Section("What is missing", tables=(table,)))
    measured = [row for row in rows if row["status"] == OK]
    for axis in AXES:
        here = [row for row in measured if row["axis"] == axis]
        if here:
            found.append(_section(axis, here, labels))
    return found


def _section(axis: str, rows: Sequence[Row], labels: Labels) -> Section:
    base = {name: rows[0][name] for name in AXES if name != axis}
    fixed = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in base.items())
    heads = (axis.replace("_", " "), *MEASURED.values(), "vectors")
    tables = [_growth(axis, rows, labels)]
    for label, its in grouped(rows, labels).items():
        lines = tuple(
            (str(row["value"]), *(_number(key, row[key]) for key in MEASURED),
             str(row["bank_vectors"] or MISSING))
            for row in its
        )  # fmt: skip
        tables.append(Table(f"{label}: seconds, and MB of memory", heads, lines, words=0))
    text = (
        f"With {fixed}. The exponent b is that of the power law a·x^b that fits best: 1 is linear, "
        "2 quadratic. The last step's is that between the two largest sizes.",
    )
    figure = _figure(axis, rows, labels)
    return Section(f"Against the {NAMES[axis]}", text, tuple(tables), (figure,))


def _growth(axis: str, rows: Sequence[Row], labels: Labels) -> Table:
    lines = []
    for label, its in grouped(rows, labels).items():
        for key, name in MEASURED.items():
            points = [(_x(axis, row), row[key]) for row in its if row[key] is not None]
            fitted = slope(points)
            if fitted is None:
                continue
            last = slope(points[-2:])
            lines.append(
                (label, name, f"{fitted:.2f}", MISSING if last is None else f"{last:.2f}",
                 _verdict(fitted))
            )  # fmt: skip
    heads = ("method", "what", "exponent", "last step's", "grows")
    return Table(f"How costs grow with the {NAMES[axis]}", heads, tuple(lines), words=2)


def _figure(axis: str, rows: Sequence[Row], labels: Labels) -> Figure:
    panels = []
    for key, name in MEASURED.items():
        lines = tuple(
            Line(label, tuple(x for x, _ in points), tuple(y for _, y in points))
            for label, its in grouped(rows, labels).items()
            if (points := [(_x(axis, r), r[key]) for r in its if (r[key] or 0) > 0])
        )
        unit = "MB" if key == "peak_memory_mb" else "s"
        if lines:
            panels.append(Panel(f"{name}, {unit}", NAMES[axis], lines, x_log=True, y_log=True))
    return draw_panels(
        f"Costs against the {NAMES[axis]}", [panels[i : i + 4] for i in range(0, len(panels), 4)]
    )


def _x(axis: str, row: Row) -> float:
    """Image size counts as pixels, so that an exponent of 1 is linear in the work."""
    value = float(row["value"])
    return value**2 if axis == "image_size" else value


def _verdict(exponent: float) -> str:
    if abs(exponent) < FLAT:
        return "hardly"
    if exponent < LINEAR[0]:
        return "slower than linearly" if exponent > 0 else "shrinks"
    return "linearly" if exponent <= LINEAR[1] else "faster than linearly"


def _number(key: str, value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.0f}" if key == "peak_memory_mb" else f"{value:.3g}"


def _words(row: Row) -> str:
    return f"{row['method']}, {row['axis'].replace('_', ' ')} {row['value']}"


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """The exponent b of the power law y = a·x^b that fits best, by least squares of logarithms.

    None with fewer than two different x, or where a y is 0.
    """
    if len({x for x, _ in points}) < 2 or min(y for _, y in points) <= 0:
        return None
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    spread = sum((x - mean_x) ** 2 for x, _ in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread
