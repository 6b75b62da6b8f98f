"""Images that have arrived in a folder, and for how long they have not changed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softpatch.runtime.images import EXTENSIONS
from softpatch.runtime.own_files import is_drawing, is_quarantine


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

    def look(self) -> tuple[list[tuple[Arrival, float]], dict[Path, OSError]]:
        """All images, oldest first, and for how many seconds they were seen unchanged.

        Hidden files and folders are left out: programs copy under such names. So is what softpatch
        has drawn or put away.

        Returns:
            the images, and the folders below that cannot be listed.

        Raises:
            OSError: the folder itself cannot be listed.
        """
        now = time.monotonic()
        errors: list[OSError] = []
        states = self._found(errors)
        self._drawings = {
            one
            for one in states
            if one in self._drawings or (one not in self._since and is_drawing(one.path))
        }
        found = [one for one in states if one not in self._drawings]
        self._since = {arrival: self._since.get(arrival, now) for arrival in found}
        unlisted = {Path(error.filename): error for error in errors}
        return [(arrival, now - self._since[arrival]) for arrival in found], unlisted

    def _found(self, errors: list[OSError]) -> list[Arrival]:
        with os.scandir(self.folder):  # or raise
            pass
        without = {_identity(folder) for folder in self._without}
        found = []
        for top, folders, files in os.walk(self.folder, onerror=errors.append):
            here = Path(top)
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".")
                and _identity(here / name) not in without
                and not is_quarantine(here / name)
            ]
            for file in files:
                path = here / file
                if file.startswith(".") or path.suffix.lower() not in EXTENSIONS:
                    continue
                try:
                    found.append(
                        Arrival(path, path.relative_to(self.folder).as_posix(), *_state(path))
                    )
                except OSError:  # just gone
                    continue
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
