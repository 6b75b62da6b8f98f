"""A part of a page of results."""

from __future__ import annotations

from dataclasses import dataclass

from softpatch.benchmark.figures import Figure
from softpatch.benchmark.table import Table


@dataclass(frozen=True)
class Section:
    """A part of the page: text, then tables and figures.

    Attributes:
        folded: whether the tables are shown only when asked for.
    """

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    folded: bool = False
