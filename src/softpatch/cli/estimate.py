"""``softpatch estimate``: time, memory and size of a fit, before it begins."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from softpatch.cli import options
from softpatch.cli.inputs import listed
from softpatch.cli.options import flag
from softpatch.cli.terminal import STEPS, duration, note, show_table

if TYPE_CHECKING:
    from softpatch.detectors.estimate import Estimate


@options.reads_pictures
@options.takes(*options.DETECTOR, options.Threshold)
def estimate(
    folder: Path = options.TRAINING,
    as_json: bool = flag("--json", "One JSON line: seconds, bytes."),
    *,
    method: str,
    given: dict[str, Any],
) -> None:
    """Foresee what softpatch fit FOLDER with these options takes, from a few pictures.

    Examples:
    softpatch estimate photos/

    softpatch estimate photos/ --tile 512 --memory-limit 4GB
    """
    from softpatch.detectors import make_detector

    foreseen = make_detector(method, **given).estimate(listed(folder))
    if as_json:
        typer.echo(json.dumps({**asdict(foreseen), "total_seconds": foreseen.total_seconds}))
        return
    _show(foreseen)
    if foreseen.unreadable:
        note(f"{_unreadable(foreseen)}; softpatch fit leaves them out, and names them")


def in_one_line(foreseen: Estimate) -> str:
    """Such as ``about 40 s, 1.9 GB of memory, a model of 74 MB``, and what the network sees."""
    scratch = f", {foreseen.scratch / 1e9:.1f} GB of temporary files" if foreseen.scratch else ""
    unread = f" ({_unreadable(foreseen)})" if foreseen.unreadable else ""
    return (
        f"{foreseen.images} pictures{unread}: about {duration(foreseen.total_seconds)}, "
        f"{foreseen.memory / 1e9:.1f} GB of memory{scratch}, a model of "
        f"{foreseen.model / 1e6:.0f} MB; seen at {_seen(foreseen)}"
    )


def _unreadable(foreseen: Estimate) -> str:
    return f"{foreseen.unreadable} of {foreseen.looked_at} looked at cannot be read"


def _seen(foreseen: Estimate) -> str:
    """Such as ``352 x 144 pixels, each 3.6 x 3.5 of a picture's``, heights first."""
    (height, width), (high, wide) = foreseen.seen, foreseen.pixel
    return f"{height} x {width} pixels, each {high:.1f} x {wide:.1f} of a picture's"


def _show(foreseen: Estimate) -> None:
    rows = [
        *((STEPS[step], duration(seconds)) for step, seconds in foreseen.seconds.items()),
        ("in all", duration(foreseen.total_seconds)),
        ("memory at most", f"{foreseen.memory / 1e9:.1f} GB"),
        ("temporary files", f"{foreseen.scratch / 1e9:.1f} GB"),
        ("model file", f"{foreseen.model / 1e6:.0f} MB"),
        ("seen at", _seen(foreseen)),
    ]
    show_table(f"Fitting {foreseen.images} pictures", ("", "about"), rows)
