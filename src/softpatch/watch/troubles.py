"""What is in the way for a while: said when it begins, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from softpatch.runtime.errors import reason_of


class Troubles:
    """Of each place the trouble that there is at the moment."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """``tell`` gets lines for people."""
        self.tell = tell
        self._now: dict[Path, str] = {}

    def begin(self, place: Path, what: str, error: Exception) -> None:
        """Say it, unless it was said before."""
        words = f"{what} ({reason_of(error)})"
        if self._now.get(place) != words:
            self._now[place] = words
            self.tell(f"{place}: {words}; waiting until that is over")

    def over(self, place: Path) -> None:
        """Say that it is, if there was any."""
        if self._now.pop(place, None) is not None:
            self.tell(f"{place}: all right again")
