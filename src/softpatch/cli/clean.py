"""``softpatch clean``: put away what an audit found bad, and put it back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softpatch.cli.terminal import note, progress_bars, say
from softpatch.errors import UsageError


def clean(
    folder: Annotated[Path, typer.Argument(help="The pictures that were audited.")],
    decisions: Annotated[
        Path | None, typer.Argument(help="What the page of softpatch audit has exported.")
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option(help="Where removed pictures go.  [FOLDER-quarantine]")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Put everything back.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only name what would move.")] = False,
) -> None:
    """Move the pictures decided "remove" out of FOLDER. Nothing is deleted or overwritten.

    A picture that has changed since the decision stops the command before anything is moved.

    Examples:
    softpatch clean photos/ decisions.json --dry-run

    softpatch clean photos/ decisions.json

    softpatch clean photos/ --undo
    """
    if (decisions is None) != undo:
        raise UsageError("give a file of decisions, or --undo")
    from softpatch.auditing import quarantine as away
    from softpatch.auditing.decisions import read_decisions

    store = quarantine or away.default_quarantine(folder)
    gone: list[str] = []
    if decisions is None:
        names = away.restorable(folder, store)
        if not dry_run:
            with progress_bars() as progress:
                gone = away.restore(folder, store, names, progress)
        what = f"picture(s) from {store} to {folder}"
    else:
        files = away.removable(folder, store, read_decisions(decisions))
        names = list(files)
        if not dry_run and names:
            with progress_bars() as progress:
                away.remove(folder, store, files, progress)
        what = f"picture(s) from {folder} to {store}"
    if dry_run:
        for name in names:
            say(name)
    say(f"{'would move' if dry_run else 'moved'} {len(names) - len(gone)} {what}")
    for name in gone:
        note(f"{store / name}: is gone")
