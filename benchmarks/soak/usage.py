"""What processes take: resident memory, open files and threads; and whether that stays the same.

After a warm-up, in which each fault has been met once, the median of the first quarter is compared
with that of the last. Medians, as most of the time there is no fault: what is taken while there is
one, such as a second model, is not what is left behind. Memory is flat if both differ by no more
than 5 %. So is a number of files or threads, or if it differs by one: a connection that happens to
be open, a decoder that is just being replaced.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.markdown import table, text

PERCENT = 5.0
PAGE = 4096 / 1e6  # of /proc/PID/statm, in MB
WHAT = ("memory, MB", "files", "threads")
Usage = Sequence[float]  # one for each of these


def descendants(process: int) -> Iterator[int]:
    """The processes that one has started, and those that they have."""
    for tasks in Path(f"/proc/{process}/task").iterdir():
        with suppress(OSError):  # just ended
            for child in map(int, (tasks / "children").read_text().split()):
                yield child
                with suppress(OSError):
                    yield from descendants(child)


def usage(process: int) -> Usage:
    """What it and its descendants take."""
    found = [0.0, 0.0, 0.0]
    for each in (process, *descendants(process)):
        folder = Path(f"/proc/{each}")
        with suppress(OSError):
            resident = int((folder / "statm").read_text().split()[1])
            more = (resident * PAGE, *(len(list((folder / at).iterdir())) for at in ("fd", "task")))
            found = [one + other for one, other in zip(found, more, strict=True)]
    return found


class Sampling(threading.Thread):
    """Looks at processes every few seconds, in the background."""

    def __init__(self, processes: Mapping[str, int], seconds: float) -> None:
        super().__init__(daemon=True)
        self._processes, self._seconds = processes, seconds
        self._samples: dict[str, list[Usage]] = {name: [] for name in processes}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._seconds):
            for name, process in self._processes.items():
                with suppress(OSError):  # it has ended, which others notice
                    self._samples[name].append(usage(process))

    def __str__(self) -> str:
        """What was taken at the last look."""
        last = {name: samples[-1] for name, samples in self._samples.items() if samples}
        return "; ".join(
            f"{name}: " + ", ".join(f"{each:.0f}" for each in found) for name, found in last.items()
        )

    def warm(self) -> None:
        """From now on it counts."""
        for samples in self._samples.values():
            samples.clear()

    def end(self) -> list[Change]:
        """Stop, and say how what was taken has changed."""
        self._over.set()
        self.join()
        return [
            Change(f"{name}: {what}", *quarters([each[at] for each in samples]))
            for name, samples in self._samples.items()
            for at, what in enumerate(WHAT)
        ]


def quarters(samples: Sequence[float]) -> tuple[float, float]:
    """The medians of the first and the last quarter."""
    count = max(1, len(samples) // 4)
    return statistics.median(samples[:count]), statistics.median(samples[-count:])


@dataclass(frozen=True)
class Change:
    """What was taken first and last."""

    what: str
    first: float
    last: float

    @property
    def percent(self) -> float:
        return 100 * (self.last / self.first - 1)

    @property
    def flat(self) -> bool:
        """Whether that counts as the same."""
        one_more = "memory" not in self.what and abs(self.last - self.first) <= 1
        return abs(self.percent) <= PERCENT or one_more

    @property
    def problem(self) -> str | None:
        return None if self.flat else f"{self.what}: from {self.first:g} to {self.last:g}"


def shown(changes: Sequence[Change]) -> str:
    """A table for people."""
    columns = {each: text(each) for each in ("", "first quarter", "last quarter", "change", "flat")}
    rows = [
        {
            "": each.what,
            "first quarter": f"{each.first:,.0f}",
            "last quarter": f"{each.last:,.0f}",
            "change": f"{each.percent:+.1f} %",
            "flat": "yes" if each.flat else "no",
        }
        for each in changes
    ]
    return table(columns, rows)
