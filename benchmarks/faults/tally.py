"""What a campaign has done so far and found, with the time it still takes."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable

from benchmarks.processes import say

PAUSE = 15.0  # seconds between two lines of progress
SHOWN = 20  # problems told in full


def chosen(names: Iterable[str], only: str) -> list[str]:
    """Those with some text in them; SystemExit if there are none."""
    found = [name for name in names if only in name]
    return found or sys.exit(f"nothing is called {only}; there are {', '.join(names)}")


class Tally:
    """Counts what was tried, by how it ended, and keeps what must not happen."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.tried = name, total, 0
        self.ends: Counter[str] = Counter()
        self.problems: list[str] = []
        self._began = self._told = time.monotonic()
        self._lock = threading.Lock()

    def add(self, end: str, problem: str | None = None) -> None:
        """One more was tried, by any thread, and ended so; a problem is told at once."""
        with self._lock:
            self._add(end, problem)

    def _add(self, end: str, problem: str | None) -> None:
        self.tried += 1
        self.ends[end] += 1
        if problem is not None:
            self.problems.append(problem)
            if len(self.problems) <= SHOWN:
                say(f"{self.name}: {problem}")
        now = time.monotonic()
        if now - self._told > PAUSE:
            self._told = now
            left = (now - self._began) / self.tried * (self.total - self.tried)
            say(
                f"{self.name}: {self.tried} of {self.total}, {len(self.problems)} problems, "
                f"about {left / 60:.0f} min left"
            )

    def minutes(self) -> str:
        """How long it has taken."""
        return f"{(time.monotonic() - self._began) / 60:.0f} min"

    def __str__(self) -> str:
        """What is left to say at the end."""
        lines = [f"{end}: {count}" for end, count in sorted(self.ends.items())]
        problems = self.problems[SHOWN:] and [f"... and {len(self.problems) - SHOWN} more"]
        tried = f"{self.name}: {self.tried} tried in {self.minutes()}"
        return "\n".join([*lines, *problems, f"{tried}, {len(self.problems)} problems"])
