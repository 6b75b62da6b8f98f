"""Images that have arrived in a folder, and for how long they have not changed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from softpatch.runtime.listing import LeftOut, walk
from softpatch.runtime.own_files import is_drawing


@dataclass(frozen=True)
class Arrival:
    """One state of a file: once written to again, it is another image."""

    path: Path
    name: str  # the path below the watched folder, with slashes
    bytes: int
    modified_ns: int  # when it was last written to

    @property
    def unchanged(self) -> bool:
        """Whether the file is still in that state."""
        try:
            return _state(self.path) == (self.bytes, self.modified_ns)
        except OSError:
            return False


class Arrivals:
    """The images below a folder, at every look."""

    def __init__(self, folder: Path, without: Sequence[Path]) -> None:
        """Watch ``folder`` except the folders ``without``, whatever leads there."""
        self.folder = folder
        self._without = without
        self._since: dict[Arrival, float] = {}
        self._drawings: set[Arrival] = set()
        self.left_out = LeftOut()  # at the last look

    def look(self) -> tuple[list[tuple[Arrival, float]], dict[Path, OSError]]:
        """All images, oldest first, and for how many seconds they were seen unchanged.

        What ``walk`` passes over is not among them, hidden files included: programs copy under such
        names.

        Returns:
            the images, and the folders below that cannot be listed.

        Raises:
            OSError: the folder itself cannot be listed.
        """
        now = time.monotonic()
        unlisted: dict[Path, OSError] = {}
        states = self._found(unlisted)
        self._drawings = {
            one
            for one in states
            if one in self._drawings or (one not in self._since and is_drawing(one.path))
        }
        found = [one for one in states if one not in self._drawings]
        self._since = {arrival: self._since.get(arrival, now) for arrival in found}
        return [(arrival, now - self._since[arrival]) for arrival in found], unlisted

    def _found(self, unlisted: dict[Path, OSError]) -> list[Arrival]:
        with os.scandir(self.folder):  # or raise
            pass
        without = {_identity(folder) for folder in self._without}
        self.left_out = LeftOut()
        found = []
        images = walk(
            self.folder,
            self.left_out,
            locked=unlisted.__setitem__,
            without=lambda folder: _identity(folder) in without,
            own=lambda _: False,  # which would open every file at every look
        )
        for path in (path for _, paths in images for path in paths):
            with suppress(OSError):  # just gone
                name = path.relative_to(self.folder).as_posix()
                found.append(Arrival(path, name, *_state(path)))
        return sorted(found, key=lambda arrival: (arrival.modified_ns, arrival.name))


def _state(path: Path) -> tuple[int, int]:
    """Size and time of a file; of a link that leads nowhere, its own."""
    try:
        state = path.stat()
    except OSError:
        state = path.lstat()
    return state.st_size, state.st_mtime_ns


def _identity(folder: Path) -> tuple[int, int] | None:
    """The same for all paths of a folder; None if there is none."""
    try:
        state = folder.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
