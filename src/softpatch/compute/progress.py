"""The progress callback: long steps report to it without knowing about terminals."""

from __future__ import annotations

from collections.abc import Callable

# (name of the step, items done, total items); the total is 0 if it is not known beforehand.
Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """Report nothing: the library's default."""
