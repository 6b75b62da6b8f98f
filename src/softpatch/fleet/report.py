"""The report of a fleet: a table, JSON, and a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from softpatch.calling.words import of_so_many
from softpatch.compute.progress import Progress, silent
from softpatch.fleet.advice import CODES, OK, in_words, light_in_words
from softpatch.fleet.fitting import UNCHANGED, Visit
from softpatch.fleet.fleet import CameraReport, Fleet
from softpatch.pages.render import fill
from softpatch.pages.review import thumbnails
from softpatch.runtime.files import csv_bytes, write_files
from softpatch.runtime.intensity import FULL
from softpatch.runtime.targets import PAGE, begins

BEGINNINGS = {
    "fleet.csv": begins(b"camera,attention,"),
    "fleet.json": begins(b'{\n "plant": '),
    "fleet.html": begins(PAGE),
}
NAMED = 3  # suspects of a camera, in the table and on the page


def write_report(fleet: Fleet, output: Path, progress: Progress = silent) -> list[Path]:
    """Write ``fleet.csv``, ``fleet.json`` and ``fleet.html``.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    shown = {
        path: FULL if line.visit.learned is None else line.visit.learned.intensity
        for line in fleet.lines
        for paths in _shown(line.visit).values()
        for path in paths
    }
    thumbs = thumbnails(shown, progress)
    page = fill(
        "fleet/page.html.jinja",
        title=f"Cameras of {fleet.plant.resolve().name}",
        summary=summary(fleet),
        cameras=[_card(line, thumbs) for line in fleet.lines],
    )
    files = {
        "fleet.csv": csv_bytes([_numbers(line) for line in fleet.lines]),
        "fleet.json": f"{json.dumps(as_dict(fleet), indent=1)}\n".encode(),
        "fleet.html": page,
    }
    output.mkdir(parents=True, exist_ok=True)
    return write_files(output, files)


def summary(fleet: Fleet) -> str:
    """How many cameras need what, such as ``12 cameras: 1 failed, 2 drifted, 9 ok``."""
    counts = Counter(line.attention for line in fleet.lines)
    words = [f"{counts[code]} {code}" for code in (*CODES, OK) if counts[code]]
    return f"{len(fleet.lines)} camera(s): {', '.join(words)}"


def as_dict(fleet: Fleet) -> dict[str, Any]:
    """Everything, for JSON; the cameras that need attention come first."""
    return {
        "plant": str(fleet.plant),
        "output": str(fleet.output),
        "cameras": [
            {
                "camera": line.visit.camera,
                "attention": line.attention,
                "advice": [vars(advice) for advice in line.advice],
                "outcome": line.visit.outcome,
                "error": line.visit.error,
                "folder": str(line.visit.folder),
                "model": str(line.visit.model),
                "unreadable": [
                    {"path": path, "reason": reason} for path, reason in line.visit.unreadable
                ],
                "learned": line.visit.learned and line.visit.learned.as_dict(),
                "drift": line.visit.drift and line.visit.drift.as_dict(),
            }
            for line in fleet.lines
        ],
    }


def cells(line: CameraReport) -> dict[str, str]:
    """A camera's row in the table for people, by column."""
    learned = line.visit.learned
    words = {"camera": line.visit.camera, "attention": line.attention}
    words |= {"outcome": line.visit.outcome, "pictures": "", "bad": "", "suspects": ""}
    words |= {"threshold": "", "false alarms": "", "drift": _drift(line.visit)}
    words["unreadable"] = str(len(line.visit.unreadable) or "")
    if learned is not None:
        words["pictures"] = str(learned.pictures)
        words["threshold"] = "none" if learned.threshold is None else f"{learned.threshold:.4g}"
        if learned.suspects is not None:
            words["bad"] = "not told"
            if learned.contamination is not None and learned.interval is not None:
                low, high = learned.interval
                words["bad"] = f"{learned.contamination:.1%} ({low:.1%} to {high:.1%})"
            names = ", ".join(_below(line.visit.folder, learned.suspects[:NAMED]))
            more = ", ..." if len(learned.suspects) > NAMED else ""
            words["suspects"] = f"{len(learned.suspects)}: {names}{more}" if names else "0"
        if learned.promise is not None:
            (many,), base = of_so_many(learned.promise.expected)
            words["false alarms"] = f"about {many:,} of {base:,}"
        elif learned.threshold is not None:
            words["false alarms"] = "set by hand or labels"
    return words


def _drift(visit: Visit) -> str:
    if visit.outcome == UNCHANGED:
        return "no new pictures"
    if visit.drift is None:
        return ""
    found = visit.drift.compared
    counted = "" if found is None else f": {found.outside} of {found.new} outside"
    return f"{visit.drift.verdict}{counted}"


def _numbers(line: CameraReport) -> dict[str, object]:
    """A camera's row in ``fleet.csv``; None where a number is missing."""
    visit, learned, drift = line.visit, line.visit.learned, line.visit.drift
    promise = learned.promise if learned is not None else None
    found = drift.compared if drift is not None else None
    low, high = (learned.interval if learned is not None else None) or (None, None)
    suspects = (learned.suspects or ()) if learned is not None else ()
    first = line.advice[0] if line.advice else None
    return {
        "camera": visit.camera,
        "attention": line.attention,
        "what": first and first.text,
        "command": first and "; ".join(first.commands),
        "outcome": visit.outcome,
        "pictures": learned and learned.pictures,
        "unreadable": len(visit.unreadable),
        "contamination": learned and learned.contamination,
        "contamination_low": low,
        "contamination_high": high,
        "suspects": len(suspects),
        "top_suspects": " ".join(_below(visit.folder, suspects[:NAMED])),
        "threshold": learned and learned.threshold,
        "expected_false_alarms": promise and promise.expected,
        "max_false_alarms": promise and promise.max_false_alarms,
        "drift": drift and drift.verdict,
        "new_pictures": drift.new if drift is not None else 0,
        "new_compared": found and found.new,
        "new_outside": found and found.outside,
        "expected_share_outside": found and found.expected,
        "chance": found and found.chance,
        "new_above_threshold": drift and drift.alarms,
        "brightness_change": drift and drift.brightness,
        "sharpness_change": drift and drift.sharpness,
    }


def _card(line: CameraReport, thumbs: Mapping[str, str]) -> dict[str, Any]:
    """A camera's card on the page."""
    visit = line.visit
    facts = []
    if visit.drift is not None:
        facts.append(f"{in_words(visit.drift)}: {visit.drift.verdict}.")
        if visit.drift.alarms is not None:
            facts.append(f"{visit.drift.alarms} of them exceed the threshold.")
        if light := light_in_words(visit.drift):
            facts.append(f"They {light}.")
    promise = visit.learned.promise if visit.learned is not None else None
    if promise is not None and not promise.missing:  # else it is advice
        facts.append(f"{str(promise).capitalize()}.")
    facts += [f"Cannot be read: {path} ({reason})." for path, reason in visit.unreadable[:NAMED]]
    return {
        "cells": cells(line),
        "ok": not line.advice,
        "advice": line.advice,
        "facts": facts,
        "pictures": [
            (title, [(name, thumbs.get(path)) for path, name in zip(paths, names, strict=True)])
            for title, paths in _shown(visit).items()
            if (names := _below(visit.folder, paths))
        ],
    }


def _shown(visit: Visit) -> dict[str, list[str]]:
    """Title -> paths of the pictures to show of a camera."""
    shown = {}
    if visit.drift is not None and visit.drift.drifted:
        shown["Highest scores among the new pictures"] = list(visit.drift.worst)
    if visit.learned is not None:
        shown["Most suspicious training pictures"] = list((visit.learned.suspects or ())[:NAMED])
    return shown


def _below(folder: Path, paths: Iterable[str]) -> list[str]:
    """Paths relative to the camera's folder; unchanged if they are outside it."""
    return [
        Path(path).relative_to(folder).as_posix() if Path(path).is_relative_to(folder) else path
        for path in paths
    ]
