"""Rows of results, averaged and laid out as the tables and sections of a page."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from softpatch.benchmark.figures import Figure
from softpatch.benchmark.results import Row
from softpatch.runtime.errors import printable

K = TypeVar("K", bound=Hashable)

METRICS = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1max": "image F1",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "aupro": "AUPRO",
}
AT_THE_LIMIT = {"false_alarms": "false alarms", "found": "found"}  # at the model's own threshold
MISSING = "–"


@dataclass(frozen=True)
class Table:
    """A table of text."""

    title: str
    columns: tuple[str, ...]  # their headings
    rows: tuple[tuple[str, ...], ...]
    words: int = 1  # how many columns from the left hold words rather than numbers

    def markdown(self) -> str:
        """As a pipe table under its title."""
        marks = ["---" if index < self.words else "---:" for index in range(len(self.columns))]
        lines = [self.columns, marks, *self.rows]
        escaped = (
            "| " + " | ".join(printable(cell).replace("|", "\\|") for cell in line) + " |"
            for line in lines
        )
        return "\n".join([f"**{self.title}**", "", *escaped])


@dataclass(frozen=True)
class Section:
    """A part of the page: text, then tables and figures."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    folded: bool = False  # whether the tables are shown only on request


@dataclass(frozen=True)
class Value:
    """A mean over seeds; None where nothing was measured."""

    mean: float | None
    deviation: float | None = None

    def text(self, digits: int = 3, sign: str = "") -> str:
        """``0.981 ± 0.002``, without the deviation if there is one seed only."""
        if self.mean is None:
            return MISSING
        rounded = round(self.mean, digits) + 0.0  # no -0.000
        shown = f"{rounded:{sign}.{digits}f}"
        return shown if self.deviation is None else f"{shown} ± {self.deviation:.{digits}f}"


def over_seeds(rows: Iterable[Row], key: str) -> Value:
    """Mean and standard deviation over seeds of the mean over all else, the categories.

    A seed counts only if it has as many rows as the others: without that, a category that is
    missing from one seed would look like a spread.
    """
    by_seed = {
        seed: [row[key] for row in group if row.get(key) is not None]
        for seed, group in grouped(rows, lambda row: row["seed"]).items()
    }
    most = max((len(values) for values in by_seed.values()), default=0)
    means = [statistics.fmean(values) for values in by_seed.values() if len(values) == most > 0]
    if not means:
        return Value(None)
    return Value(statistics.fmean(means), statistics.stdev(means) if len(means) > 1 else None)


def grouped(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, list[Row]]:
    """Rows by key, keys in the order met."""
    groups: dict[K, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


class Labels:
    """Names of methods, made of the options that differ between the rows.

    Attributes:
        shared: the options of every row, in words.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        every = [set(_options(row)) for row in rows]
        self._common = set.intersection(*every) if every else set()
        self.shared = _words(self._common)

    def __call__(self, row: Row) -> str:
        """``softpatch-lof``, or ``softpatch-lof, tau=0.05``."""
        variant = self.variant(row)
        return f"{row['method']}, {variant}" if variant else str(row["method"])

    def variant(self, row: Row) -> str:
        """The options that not all rows share, in words; empty for none."""
        return _words(set(_options(row)) - self._common)


def _options(row: Row) -> list[tuple[str, str]]:
    return [(name, json.dumps(value)) for name, value in json.loads(row["options"]).items()]


def _words(options: set[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value.strip(chr(34))}" for name, value in sorted(options))
