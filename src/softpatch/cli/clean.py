"""``softpatch clean``: put away what an audit found bad, and put it back."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path

from softpatch.cli.inputs import decisions_in
from softpatch.cli.options import argument, flag, option
from softpatch.cli.terminal import note, progress_bars, say, say_next
from softpatch.errors import UsageError


def clean(
    folder: Path = argument("The pictures that were audited."),
    decisions: Path | None = argument("What the page of softpatch audit has exported.", None),
    quarantine: Path | None = option("Where removed pictures go.  [FOLDER-quarantine]"),
    undo: bool = flag("--undo", "Put everything back."),
    dry_run: bool = flag("--dry-run", "Only name what would move."),
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
    from softpatch.auditing.quarantine import default_quarantine
    from softpatch.runtime.targets import check_folder
    from softpatch.storage.lock import changing

    store = quarantine or default_quarantine(folder)
    check_folder(store)
    with ExitStack() as stack:
        for changed in () if dry_run else (folder, store):
            if changed.parent.is_dir():
                stack.enter_context(changing(changed))
        _clean(folder, store, decisions, dry_run)


def _clean(folder: Path, store: Path, decisions: Path | None, dry_run: bool) -> None:
    from softpatch.auditing import quarantine as away

    gone: list[str] = []
    if decisions is None:
        names = away.restorable(folder, store)
        if not dry_run:
            with progress_bars() as progress:
                gone = away.restore(folder, store, names, progress)
        what = f"picture(s) from {store} to {folder}"
    else:
        files = away.removable(folder, store, decisions_in(decisions))
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
    if dry_run and names:
        say("next: the same without --dry-run")
    elif names and decisions is not None:
        back = ["softpatch", "clean", str(folder), "--undo"]
        if store != away.default_quarantine(folder):
            back += ["--quarantine", str(store)]
        more = f"; to put them back: {shlex.join(back)}"
        say_next("softpatch", "fit", folder, "-o", "part.softpatch", more=more)
