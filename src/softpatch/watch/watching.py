"""The loop: wait for images, score them, record them."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from softpatch.errors import DatasetError, ImageError, SoftPatchError, UsageError
from softpatch.ranges.table import check_all
from softpatch.runtime.errors import reason_of
from softpatch.runtime.files import short_name, write_atomically
from softpatch.runtime.listing import LINKED, NOT_READ, OWN, SYSTEM
from softpatch.runtime.own_files import is_drawing
from softpatch.runtime.targets import check_folder, check_target
from softpatch.runtime.writers import not_judged, row
from softpatch.storage.moving import same_folder
from softpatch.watch.arrivals import Arrival, Arrivals
from softpatch.watch.journal import Journal
from softpatch.watch.putting_away import put_away
from softpatch.watch.scoring import Scorer
from softpatch.watch.troubles import Troubles

HEATMAPS = "heatmaps"
# What a name is refused with, by file systems that others use: no waiting helps.
NAMES = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR, errno.EISDIR)


def _say_nothing(line: str) -> None:
    """Tell nobody."""


def check_folders(folder: Path, move: Path | None) -> None:
    """Raise DatasetError where there is no folder, UsageError where it is the one to move to."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    if move is not None and same_folder(move, folder):
        raise UsageError(f"{move}: is the watched folder; pictures have to move to another one")


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
    model: Path | None = None,
    stopped: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = _say_nothing,
) -> Iterator[dict[str, Any]]:
    """Score each image that appears in ``folder`` once, even if this process is killed.

    An image is read once it has not changed for ``interval`` seconds, and recorded if it did not
    change while it was scored. The steps are heat map, line in the journal, move: each is done or
    not, and what a kill prevents is done by the next process.

    An image's error is its line in the journal. What is wrong with a folder or a disk is told, and
    waited for; with ``once``, for ``patience`` seconds.

    Args:
        score: see ``scoring``.
        folder: watched with all folders below, except heat maps and ``move``.
        output: existing folder for the journal and the heat maps.
        move: existing folder that images go to when they are done. They stay if None.
        heatmaps: whether to draw them.
        once: end when all images that are there are done, instead of waiting for more.
        interval: seconds between looks.
        patience: seconds without a change after which an image that cannot be read is recorded as
            such; until then, it may be half copied.
        model: the file that ``score`` was made of; it is told if that changes.
        stopped: called after each image and look; the loop ends when it returns True.
        tell: gets what is in the way, or left out, as lines, each once, and when it is over.

    Yields:
        each new line of the journal: ``path`` below the folder, ``bytes``, ``modified_ns``, and
        either the other columns of ``prediction.row``, or ``error``; both where a heat map could
        not be drawn.

    Raises:
        UsageError: another process writes to ``output``, something else is where the journal or
            the heat maps belong, ``move`` is the watched folder, or a time out of range.
        DatasetError: no such folder, or the journal is damaged.
        OSError: with ``once``, what could not be written or moved.
    """
    check_all(interval=interval, patience=patience)
    check_folders(folder, move)
    if heatmaps:
        check_folder(output / HEATMAPS)
    arrivals = Arrivals(folder, [output / HEATMAPS] if move is None else [output / HEATMAPS, move])
    troubles = Troubles(tell)
    original = Original(model)
    unlisted: set[Path] = set()
    journal = Journal(output)
    told = ""
    try:
        while not stopped():
            waiting = False
            failed: Exception | None = None  # for too long, if this is to end
            try:
                found, errors = arrivals.look()
            except OSError as error:
                if once:
                    raise
                troubles.begin(folder, "cannot be listed", error)
                time.sleep(interval)
                continue
            troubles.over(folder)
            for place in unlisted - errors.keys():
                troubles.over(place)
            unlisted = set(errors)
            for place, reason in errors.items():
                troubles.begin(place, "cannot be listed", reason)
            if original.changed:
                tell(f"{model}: has changed; scores are still by what it was: start again")
            for arrival, seconds in found:
                place, what = output, "cannot be written to"
                try:
                    if arrival not in journal:
                        result = None
                        if seconds >= interval:
                            result = _result(score, arrival, output if heatmaps else None)
                        if result is None or ("score" not in result and seconds < patience):
                            waiting = True
                            continue
                        if journal.reopen_if_moved():
                            tell(f"{journal.path}: was moved away; begun anew")
                        record = journal.add(arrival, result)
                        troubles.over(output)
                        yield record
                    if move is not None:
                        place, what = move, "cannot be moved to"
                        waiting = not put_away(arrival, move) or waiting
                        troubles.over(move)
                        troubles.over(arrival.path)
                except (OSError, SoftPatchError) as error:
                    if place is move and _is_about(error, arrival.path):
                        place, what = arrival.path, "cannot be moved"
                    troubles.begin(place, what, error)
                    waiting, failed = waiting or seconds < patience, error
                if stopped():
                    return
            left_out = str(arrivals.left_out.only(NOT_READ, SYSTEM, LINKED, OWN))
            if left_out and left_out != told:
                told = left_out
                tell(f"left out of {folder}: {told}")
            if once and not waiting:
                if failed is not None:
                    raise failed
                return
            time.sleep(interval)
    finally:
        journal.close()


def _is_about(error: Exception, path: Path) -> bool:
    """Whether an error is that of one file, not of a place to link or copy it to."""
    if not isinstance(error, OSError) or error.filename2 is not None:
        return False
    return str(error.filename) == str(path)


@dataclass
class Original:
    """A file as it was at first."""

    path: Path | None

    def __post_init__(self) -> None:
        self._state = self._look()

    @property
    def changed(self) -> bool:
        """Whether it has changed since this was last asked."""
        before, self._state = self._state, self._look() or self._state
        return before != self._state

    def _look(self) -> tuple[int, ...] | None:
        if self.path is None:
            return None
        try:
            state = self.path.stat()
        except OSError:  # being replaced, or gone, which changes no score
            return None
        return state.st_ino, state.st_size, state.st_mtime_ns


def _result(score: Scorer, arrival: Arrival, output: Path | None) -> dict[str, Any] | None:
    """An image's line of the journal, its heat map written; None if it changed meanwhile.

    Raises:
        OSError: the heat map cannot be written for the time being.
    """
    drawing = None
    try:
        prediction, drawing = score(arrival.path, output is not None)
        result = row(replace(prediction, name=arrival.name))
    except Exception as error:  # one image must not end the others' watch
        result = not_judged(ImageError(arrival.name, reason_of(error)))
    if not arrival.unchanged:
        return None
    if output is not None and drawing is not None:
        # With the time, or the next image of that name would replace it.
        below, _, name = f"{HEATMAPS}/{arrival.name}".rpartition("/")
        heatmap = f"{below}/{short_name(name, f'-{arrival.modified_ns}.png')}"
        target = output / heatmap
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            check_target(target, is_drawing)
            write_atomically(target, drawing)
            result["heatmap"] = heatmap
        except (OSError, UsageError) as error:
            if isinstance(error, OSError) and error.errno not in NAMES:
                raise
            result["error"] = f"no heatmap: {reason_of(error)}"
    return result
