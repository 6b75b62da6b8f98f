"""The report of an audit: a table, JSON, and a page to review and decide on pictures."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from softpatch.auditing.audit import Audit
from softpatch.compute.progress import Progress, silent
from softpatch.pages.review import (
    LONGEST_SIDE,
    Card,
    Reason,
    as_shares,
    enlarged,
    heat_layer,
    render,
    thumbnails,
)
from softpatch.runtime.files import csv_bytes, digest_if_there, write_files
from softpatch.runtime.targets import PAGE, begins

BEGINNINGS = {
    "audit.csv": begins(b"rank,path,score,"),
    "audit.json": begins(b'{\n "images": '),
    "audit.html": begins(PAGE),
}


def write_report(
    audit: Audit,
    folder: Path,
    output: Path,
    progress: Progress = silent,
    model: Path | None = None,
) -> list[Path]:
    """Write ``audit.csv``, ``audit.json`` and ``audit.html`` about the pictures below a folder.

    ``model`` is the one whose limit rests on ``audit.limit_rests_on``: these come first then.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    title, cards = f"Audit of {folder.name or folder}", _cards(audit, folder, progress)
    after = shlex.join(
        ["softpatch", "clean", str(folder.resolve()), "decisions.json"]
        if model is None
        else ["softpatch", "threshold", str(model), "--decisions", "decisions.json"]
    )
    files = {
        "audit.csv": csv_bytes(audit.rows()),
        "audit.json": f"{json.dumps(audit.as_dict(), indent=1)}\n".encode(),
        "audit.html": render(title, summary(audit), str(folder.resolve()), cards, after),
    }
    output.mkdir(parents=True, exist_ok=True)
    return write_files(output, files)


def summary(audit: Audit) -> list[str]:
    """The findings in sentences."""
    lines = [
        f"{audit.called}.",
        f"Ranked by {audit.discriminator}: {audit.why}.",
    ]
    if audit.limit_rests_on:
        lines.insert(
            0,
            f"The limit of the model rests on {len(audit.limit_rests_on)} pictures: decide about "
            "these first.",
        )
    ranks = {image.path: image.rank for image in audit.images}
    for number, paths in audit.groups.items():
        lines.append(
            f"{len(paths)} of the first {ranks[paths[-1]]} show one kind of thing where they are "
            f"oddest (group {number}). If it is a defect it recurs, and more of it may rank lower."
        )
    odd = {reason.code for image in audit.images for reason in image.reasons}
    for words, count in (
        ("group(s) of exact duplicates", len(audit.duplicates)),
        ("group(s) of near duplicates", len(audit.near_duplicates)),
        ("unreadable file(s)", len(audit.unreadable)),
    ):
        if count:
            lines.append(f"{count} {words}.")
    if "repeated-defect" in odd:
        lines.append("Some suspicious pictures are copies of each other: see repeated-defect.")
    return lines


def _cards(audit: Audit, folder: Path, progress: Progress) -> list[Card]:
    order = dict.fromkeys([*audit.limit_rests_on, *(image.path for image in audit.images)])
    shown = dict.fromkeys(order, audit.intensity)
    thumbs = thumbnails(shown, progress)
    sizes = {image.path: image.size for image in audit.images}
    large = enlarged(
        {path: audit.intensity for path in order if max(sizes[path]) > LONGEST_SIDE}, silent
    )
    first = {path: place for place, path in enumerate(audit.limit_rests_on, start=1)}
    cards = [
        Card(
            path=_relative(image.path, folder),
            rank=image.rank,
            score=image.score,
            confidence=image.confidence,
            reasons=[*_limit(first.get(image.path)), *image.reasons],
            group=image.group,
            region=as_shares(image.region, image.size),
            box=as_shares(image.box, image.size),
            thumb=thumbs.get(image.path),
            large=large.get(image.path),
            heat=heat_layer(image.heat, audit.calm, audit.strong) if image.path in thumbs else None,
            sha256=digest_if_there(Path(image.path)),
        )
        for image in sorted(audit.images, key=lambda one: first.get(one.path, len(first) + 1))
    ]
    unreadable = [
        Card(
            path=_relative(error.name, folder),
            reasons=[Reason("unreadable", error.reason)],
            sha256=digest_if_there(Path(error.name)),
        )
        for error in audit.unreadable
    ]
    return cards + unreadable


def _limit(place: int | None) -> list[Reason]:
    if place is None:
        return []
    return [Reason("limit", f"number {place} of those that the limit of the model rests on")]


def _relative(path: str, folder: Path) -> str:
    return Path(path).relative_to(folder).as_posix()
