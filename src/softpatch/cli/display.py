"""How far a command is whose work comes in many pieces that are kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import typer

from softpatch.cli.terminal import STEPS, duration, note, stderr


class Display:
    """Says what has been done, what is being done and how long the rest will take."""

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
        if not stderr().is_terminal:  # where there is no bar
            note(f"{self.done} of {self.total} {self.unit}, {words}")
