"""The loop: wait for pictures, score them, write them down."""

from __future__ import annotations

import errno
import filecmp
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from softpatch.errors import DatasetError, ImageError
from softpatch.runtime.files import write_atomically
from softpatch.watch.arrivals import Arrival, Arrivals
from softpatch.watch.journal import Journal
from softpatch.watch.scoring import Scorer

HEATMAPS = "heatmaps"


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
) -> Iterator[dict[str, Any]]:
    """Score each picture that appears in ``folder`` once, whenever this process is killed.

    A picture is read when it has not changed for ``interval`` seconds, and written down when it
    has not changed meanwhile either. In the order heat map, line in the journal, move, each step
    is done or not, and one that a kill has prevented is done by the next process.

    Args:
        score: see ``scoring``.
        folder: watched with all folders below, but for ``output`` and ``move``.
        output: for the journal and the heat maps; it exists.
        move: where pictures go when they are done; it exists. They stay if None.
        heatmaps: whether to draw them.
        once: end when all that is there is done, instead of waiting for more.
        interval: seconds between looks.
        patience: seconds without a change after which a picture that cannot be read is written
            down as such; until then, it may be half copied.
        stopped: asked after each picture and look; the loop ends when it says so.

    Yields:
        each new line of the journal.

    Raises:
        UsageError: another process writes to ``output``.
        DatasetError: no such folder, or the journal is damaged.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    arrivals = Arrivals(folder, [output] if move is None else [output, move])
    journal = Journal(output)
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
            if once and not waiting:
                return
            time.sleep(interval)
    finally:
        journal.close()


def _result(score: Scorer, arrival: Arrival, output: Path | None) -> dict[str, Any] | None:
    """What the journal says of a picture, its heat map written; None if it changed meanwhile."""
    drawing = None
    try:
        prediction, drawing = score(arrival.path, output is not None)
        height, width = prediction.size
        result: dict[str, Any] = {
            "score": prediction.score, **prediction.verdict, "width": width, "height": height,
        }  # fmt: skip
    except ImageError as error:
        result = {"error": error.reason}
    if not arrival.unchanged:
        return None
    if output is not None and drawing is not None:
        # With the time, or the next picture of that name would take its place.
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
    """Move a picture, beside another one of its name if there is one."""
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
