"""``softpatch estimate``: what a fit will take, before it begins."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softpatch.cli import options
from softpatch.cli.terminal import STEPS, duration, stdout

if TYPE_CHECKING:
    from softpatch.detectors.estimate import Estimate


@options.builds_detector
def estimate(
    folder: Annotated[Path, typer.Argument(help="Training pictures, searched recursively.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line: seconds, bytes.")] = False,
    *,
    method: str,
    given: dict[str, Any],
) -> None:
    """Tell what softpatch fit FOLDER with the same options will take; looks at a few pictures.

    Examples:
    softpatch estimate photos/

    softpatch estimate photos/ --tile 512 --memory-limit 4GB
    """
    from softpatch.detectors import make_detector
    from softpatch.errors import DatasetError

    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    given = options.with_threshold(method, given, max_false_alarms=None)  # as fit does
    foreseen = make_detector(method, **given).estimate(folder)
    if as_json:
        typer.echo(json.dumps({**asdict(foreseen), "total_seconds": foreseen.total_seconds}))
        return
    _show(foreseen)


def in_one_line(foreseen: Estimate) -> str:
    """Such as ``about 40 s, 1.9 GB of memory, a model of 74 MB``."""
    scratch = f", {foreseen.scratch / 1e9:.1f} GB of temporary files" if foreseen.scratch else ""
    return (
        f"{foreseen.images} pictures: about {duration(foreseen.total_seconds)}, "
        f"{foreseen.memory / 1e9:.1f} GB of memory{scratch}, a model of "
        f"{foreseen.model / 1e6:.0f} MB"
    )


def _show(foreseen: Estimate) -> None:
    from rich.table import Table

    table = Table("", "about", title=f"Fitting {foreseen.images} pictures")
    for step, seconds in foreseen.seconds.items():
        table.add_row(STEPS[step], duration(seconds))
    table.add_row("in all", duration(foreseen.total_seconds))
    table.add_row("memory at most", f"{foreseen.memory / 1e9:.1f} GB")
    table.add_row("temporary files", f"{foreseen.scratch / 1e9:.1f} GB")
    table.add_row("model file", f"{foreseen.model / 1e6:.0f} MB")
    stdout().print(table)
