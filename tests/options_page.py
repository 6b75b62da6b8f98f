"""docs/options.md, made from the table of ranges: ``python -m tests.options_page``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer.main

from softpatch.cli.app import app
from softpatch.ranges.kinds import Flag
from softpatch.ranges.table import RANGES

PAGE = Path(__file__).parents[1] / "docs" / "options.md"
BEFORE = """\
# What options take

The `--help` of each subcommand says what an option is for and what it takes. Anything else is
refused in one line that names the option, with exit code 2, before a model or picture is read and
before anything is written. Python's arguments have the same names and ranges; what is out of range,
or of another type, is a `softpatch.UsageError`, which is a `ValueError`.

Numbers are written with the digits 0 to 9, a point and an exponent: `6`, `0.15`, `1e-3`; none is
infinite or NaN. In Python, numpy's numbers are numbers, and True is none. Sizes are `256` or
`HEIGHTxWIDTH`, in Python `256` or `(height, width)`. Sizes in memory are `500MB` or `4GB`, in
Python numbers of bytes. Where a range ends at a large round number, nothing happens there: it keeps
out what cannot be meant.

| option | takes | of |
|---|---|---|
"""
AFTER = """
Names of methods, discriminators, presets, backbones, layouts and kinds of contamination are not in
the table: the error for an unknown one lists those that there are.

This page is made from the table in `src/softpatch/ranges/table.py`, by which the parser and the
Python API check; `python -m tests.options_page` writes it.
"""


def page() -> str:
    """The whole page."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = []
    for key, row in RANGES.items():
        command, _, name = key.rpartition(".")
        taken_by = [
            other
            for other, one in commands.items()
            if any(each.name == name and each.opts[0].startswith("-") for each in one.params)
            and (other == command if command else f"{other}.{name}" not in RANGES)
        ]
        if key == "discriminator.tau":
            continue  # of a class of one's own
        option = f"`--{name.replace('_', '-')}`" if taken_by else f"`{name}` in Python"
        words = "yes or no" if isinstance(row, Flag) else row.words
        lines.append(f"| {option} | {words} | {', '.join(taken_by)} |")
    return BEFORE + "\n".join(lines) + "\n" + AFTER


if __name__ == "__main__":
    PAGE.write_text(page())
