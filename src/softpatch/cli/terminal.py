"""What subcommands print: progress bars, skipped pictures, durations."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

import typer

from softpatch.runtime.errors import ImageError, printable

if TYPE_CHECKING:
    from rich.console import Console

    from softpatch.compute.progress import Progress
    from softpatch.images.sources import OnUnreadable
    from softpatch.runtime.prediction import Remark

STEPS = {
    "embed": "reading pictures",
    "discriminate": "finding outlier patches",
    "gather": "gathering patches",
    "shards": "filling the shards' banks",
    "coreset": "filling the memory bank",
    "cover": "measuring what it covers",
    "support": "comparing with the other pictures",
    "hold out": "scoring each picture by the others",
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

    return Console(file=sys.stdout, emoji=False)


@cache
def stderr() -> Console:
    """The console for progress and errors, so that results can be piped."""
    from rich.console import Console

    return Console(file=sys.stderr, emoji=False)


def say(line: str) -> None:
    """Print a result as one line: paths may look like markup, and must not be wrapped."""
    stdout().print(printable(line), markup=False, highlight=False, soft_wrap=True)


def say_next(*command: object, more: str = "") -> None:
    """Print the command that comes next as it can be pasted, and what there is to say about it."""
    say(f"next: {shlex.join(map(str, command))}{more}")


def note(line: str) -> None:
    """The same to the console for progress and errors."""
    stderr().print(printable(line), markup=False, highlight=False, soft_wrap=True)


def fail(line: str) -> None:
    """The same of the error that ends a command."""
    try:
        from rich.text import Text

        words = Text.assemble(("error:", "bold red"), " ", printable(line))
        stderr().print(words, soft_wrap=True)
    except (MemoryError, ImportError, OSError):  # no memory for colours
        sys.stderr.write(f"error: {printable(line)}\n")


def show_table(
    title: str, columns: Sequence[str], rows: Iterable[Iterable[str]], *,
    marked: Container[str] = (), numbers: int | None = None,
) -> None:  # fmt: skip
    """Print a table of plain text.

    Args:
        title: above it.
        columns: their headings; none is shown if all are empty.
        rows: cells, from top to bottom.
        marked: those to show in red.
        numbers: the first of the columns that are aligned to the right; None aligns none so.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)), show_header=any(columns))
    for place, heading in enumerate(columns):
        right = numbers is not None and place >= numbers
        table.add_column(Text(printable(heading)), justify="right" if right else "left")
    for row in rows:
        table.add_row(*(Text(printable(cell), "red" if cell in marked else "") for cell in row))
    stdout().print(table)


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


class Display:
    """Progress of work in many pieces that are kept, such as cells or cameras."""

    def __init__(self, unit: str, total: int, output: Path) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.unit = unit
        self.total = total
        self.output = output
        self.done = 0
        self.kept: int | None = None
        self.started = time.perf_counter()
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=stderr(),
            transient=True,
        )
        self.all = self.bars.add_task(unit, total=total, left="")
        self.now = self.bars.add_task("", total=None, left="", visible=False)

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.bars.stop()
        if kind is KeyboardInterrupt:
            note(f"stopped; {self.output} keeps what is done, and the same command goes on")
            raise typer.Exit(1) from None

    def step(self, step: str, done: int, total: int) -> None:
        """A ``Progress`` callback."""
        self.bars.update(
            self.now, description=STEPS.get(step, step), completed=done, total=total or None,
            visible=True,
        )  # fmt: skip

    def finished(self, lines: Sequence[str]) -> None:
        """Count and print what has just been done; first, what an earlier run had done."""
        self.done += len(lines)
        if self.kept is None:
            self.kept = len(lines)
            self.bars.update(self.all, completed=self.done, total=self.total)
            if lines:
                note(f"{self.kept} of {self.total} {self.unit} are there already")
            return
        left = (time.perf_counter() - self.started) / (self.done - self.kept)
        words = f"about {duration(left * (self.total - self.done))} left"
        self.bars.update(self.all, completed=self.done, left=words)
        for line in lines:
            note(line)
        if not stderr().is_terminal:  # which shows no bar
            note(f"{self.done} of {self.total} {self.unit}, {words}")


class Skipped:
    """Collects pictures that cannot be used.

    When ``strict``, one of them ends a fit, and another command when all is written.
    """

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.errors: list[ImageError] = []

    @property
    def handler(self) -> OnUnreadable:
        """The ``on_unreadable`` of what learns: strictly, nothing is learned without a picture."""
        from softpatch.images.sources import fail_unreadable

        return fail_unreadable if self.strict else self.errors.append

    def add(self, error: ImageError) -> None:
        """The ``on_unreadable`` of what has results of the other pictures."""
        self.errors.append(error)

    def end(self, odd: Sequence[Remark] = ()) -> None:
        """When ``strict``, raise the first error, or what is odd, now that all is written."""
        if self.strict and self.errors:
            raise self.errors[0]
        if self.strict and odd:
            raise ImageError(*odd[0])

    def report(self) -> None:
        """Name every skipped picture and why."""
        if self.errors:
            words = f"skipped {len(self.errors)} picture(s) that cannot be used:"
            stderr().print(words, style="yellow")
        for error in self.errors:
            note(f"  {error}")


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s`` or ``3 min 20 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
