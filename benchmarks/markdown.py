"""Tables and figures of the results page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], str]]  # by heading


def table(columns: Columns, rows: Iterable[Row]) -> str:
    """A Markdown table, a line for every row."""
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[cell(row) for cell in columns.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def text(key: str) -> Callable[[Row], str]:
    """A column that shows an entry as it is."""
    return lambda row: str(row[key])


def number(*keys: str) -> Callable[[Row], str]:
    """A column that shows a number, nested under ``keys``, to about three digits."""

    def cell(row: Row) -> str:
        value: Any = row
        for key in keys:
            value = value.get(key) if value is not None else None
        return figure(value)

    return cell


def figure(value: float | None) -> str:
    """About three digits; a dash for what there is none of."""
    if value is None:
        return "–"
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"
