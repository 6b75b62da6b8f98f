"""What the subcommands share on the terminal: progress bars, skipped pictures, durations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from softpatch.compute.progress import Progress
    from softpatch.errors import ImageError
    from softpatch.images.sources import OnUnreadable

STEPS = {
    "embed": "reading pictures",
    "discriminate": "finding outlier patches",
    "gather": "gathering patches",
    "shards": "filling the shards' banks",
    "coreset": "filling the memory bank",
    "cover": "measuring what it covers",
    "calibrate": "scoring training pictures",
    "gaussians": "fitting Gaussians",
    "predict": "scoring pictures",
    "rate": "rating defects",
    "look": "looking at files",
    "draw": "drawing thumbnails",
    "move": "moving pictures",
    "export": "writing the graph",
    "compare": "comparing with the model",
    "match": "comparing pictures",
}


@cache
def stdout() -> Console:
    """The console for results."""
    from rich.console import Console

    return Console(file=sys.stdout)


@cache
def stderr() -> Console:
    """The console for progress and errors, so that results can be piped."""
    from rich.console import Console

    return Console(file=sys.stderr)


def say(line: str) -> None:
    """Print a result as it is: paths may look like markup, and must not be wrapped."""
    stdout().print(line, markup=False, highlight=False, soft_wrap=True)


def note(line: str) -> None:
    """The same to the console for progress and errors."""
    stderr().print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bars(prefix: str = "") -> Iterator[Progress]:
    """Show one bar per step, with the time left, while the block runs."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=stderr(),
    ) as bars:
        tasks = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(prefix + STEPS.get(step, step), total=total or None)
            bars.update(tasks[step], completed=done, total=total or None)

        yield report


class Skipped:
    """Collects unreadable pictures, or stops at the first when ``strict``."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.errors: list[ImageError] = []

    @property
    def handler(self) -> OnUnreadable:
        """What ``fit`` and ``predict`` take as ``on_unreadable``."""
        from softpatch.images.sources import fail_unreadable

        return fail_unreadable if self.strict else self.errors.append

    def report(self) -> None:
        """Name every skipped picture and why."""
        if self.errors:
            stderr().print(f"skipped {len(self.errors)} unreadable picture(s):", style="yellow")
        for error in self.errors:
            note(f"  {error}")


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s`` or ``3 min 20 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
