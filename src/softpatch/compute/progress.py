"""How long steps tell the caller how far they are, without knowing about terminals."""

from __future__ import annotations

from collections.abc import Callable

# (name of the step, items done, items in all); in all is 0 where it is not known beforehand.
Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """Report nothing: the library's default."""
