"""``--exclude``: what ``fit`` and ``audit`` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from softpatch.cli.terminal import note


def without(decisions: Path | None, pictures: Sequence[Path], folder: Path) -> list[Path]:
    """The pictures without those decided to be removed; says how many those are."""
    if decisions is None:
        return list(pictures)
    from softpatch.auditing.decisions import read_decisions, without_removed

    kept, unknown = without_removed(pictures, folder, read_decisions(decisions))
    note(f"left out {len(pictures) - len(kept)} picture(s), as {decisions} says")
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        note(f"not in {folder}, so not left out: {unknown[0]}{more}")
    return kept
