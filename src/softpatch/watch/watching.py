"""The loop: wait for images, score them, record them."""

from __future__ import annotations

import errno
import filecmp
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from softpatch.errors import DatasetError, ImageError, UsageError
from softpatch.runtime.files import write_atomically
from softpatch.runtime.listing import LINKED, NOT_READ, OWN, SYSTEM
from softpatch.runtime.writers import row
from softpatch.watch.arrivals import Arrival, Arrivals
from softpatch.watch.journal import Journal
from softpatch.watch.scoring import Scorer

HEATMAPS = "heatmaps"
SHORTEST, LONGEST = 0.01, 86_400  # seconds between looks


def watch(
    score: Scorer,
    folder: Path,
    output: Path,
    *,
    move: Path | None = None,
    heatmaps: bool = True,
    once: bool = False,
    interval: float = 1.0,
    patience: float = 30.0,
    stopped: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """Score each image that appears in ``folder`` once, even if this process is killed.

    An image is read once it has not changed for ``interval`` seconds, and recorded if it did not
    change while it was scored. The steps are heat map, line in the journal, move: each is done or
    not, and what a kill prevents is done by the next process.

    Args:
        score: see ``scoring``.
        folder: watched with all folders below, except ``output`` and ``move``.
        output: existing folder for the journal and the heat maps.
        move: existing folder that images go to when they are done. They stay if None.
        heatmaps: whether to draw them.
        once: end when all images that are there are done, instead of waiting for more.
        interval: seconds between looks, 0.01 to 86,400.
        patience: seconds without a change after which an image that cannot be read is recorded as
            such, at least 0; until then, it may be half copied.
        stopped: called after each image and look; the loop ends when it returns True.
        tell: called with a line about what is left out, when that changes.

    Yields:
        each new line of the journal: ``path`` below the folder, ``bytes``, ``modified_ns``, and
        either the other columns of ``prediction.row``, or ``error``.

    Raises:
        UsageError: another process writes to ``output``, or a time out of range.
        DatasetError: no such folder, or the journal is damaged.
    """
    if not SHORTEST <= interval <= LONGEST:
        raise UsageError(f"the interval must lie in [{SHORTEST}, {LONGEST}] s, got {interval}")
    if not patience >= 0:
        raise UsageError(f"the patience must be at least 0 s, got {patience}")
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    arrivals = Arrivals(folder, [output] if move is None else [output, move])
    journal = Journal(output)
    told = ""
    try:
        _remove_halves(output / HEATMAPS)
        while not stopped():
            waiting = False
            for arrival, seconds in arrivals.look():
                if arrival not in journal:
                    result = None
                    if seconds >= interval:
                        result = _result(score, arrival, output if heatmaps else None)
                    if result is None or ("error" in result and seconds < patience):
                        waiting = True
                        continue
                    yield journal.add(arrival, result)
                if move is not None:
                    _move(arrival, move / arrival.name)
                if stopped():
                    return
            left_out = str(arrivals.left_out.only(NOT_READ, SYSTEM, LINKED, OWN))
            if left_out and left_out != told:
                told = left_out
                tell(f"left out of {folder}: {told}")
            if once and not waiting:
                return
            time.sleep(interval)
    finally:
        journal.close()


def _result(score: Scorer, arrival: Arrival, output: Path | None) -> dict[str, Any] | None:
    """An image's line of the journal, its heat map written; None if it changed meanwhile."""
    drawing = None
    try:
        prediction, drawing = score(arrival.path, output is not None)
        result = row(replace(prediction, name=arrival.name))
    except ImageError as error:
        result = {"error": error.reason}
    if not arrival.unchanged:
        return None
    if output is not None and drawing is not None:
        # With the time, or the next image of that name would replace it.
        result["heatmap"] = f"{HEATMAPS}/{arrival.name}-{arrival.modified_ns}.png"
        target = output / result["heatmap"]
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, drawing)
    return result


def _remove_halves(heatmaps: Path) -> None:
    """Remove what a killed process had not finished writing."""
    for path in heatmaps.rglob(".*.png.*"):
        path.unlink()


def _move(arrival: Arrival, target: Path) -> None:
    """Move an image, under another name if its own is there already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        if not target.exists():
            break
        if filecmp.cmp(arrival.path, target, shallow=False):  # copied, then killed
            arrival.path.unlink()
            return
        target = target.with_name(f"{Path(arrival.name).stem}-{number}{arrival.path.suffix}")
    try:
        arrival.path.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:  # another disk
            raise
        copy = target.with_name(f".{target.name}")
        shutil.copy2(arrival.path, copy)
        copy.replace(target)
        arrival.path.unlink()
