"""Images that have arrived in a folder, and for how long they have not changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
            state = self.path.stat()
        except FileNotFoundError:
            return False
        return (state.st_size, state.st_mtime_ns) == (self.bytes, self.modified_ns)


class Arrivals:
    """The images below a folder, at every look."""

    def __init__(self, folder: Path, without: Sequence[Path]) -> None:
        """Watch ``folder`` except the folders ``without``."""
        self.folder = folder
        self._without = [other.resolve() for other in without]
        self._since: dict[Arrival, float] = {}
        self._drawings: set[Arrival] = set()
        self.left_out = LeftOut()  # at the last look

    def look(self) -> list[tuple[Arrival, float]]:
        """All images, oldest first, and for how many seconds they were seen unchanged.

        What ``walk`` passes over is not among them, hidden files included: programs copy under such
        names.
        """
        now = time.monotonic()
        states = self._found()
        self._drawings = {
            one
            for one in states
            if one in self._drawings or (one not in self._since and is_drawing(one.path))
        }
        found = [one for one in states if one not in self._drawings]
        self._since = {arrival: self._since.get(arrival, now) for arrival in found}
        return [(arrival, now - self._since[arrival]) for arrival in found]

    def _found(self) -> list[Arrival]:
        self.left_out = LeftOut()
        found = []
        images = walk(
            self.folder,
            self.left_out,
            locked=lambda *_: None,
            without=lambda folder: folder.resolve() in self._without,
            own=lambda _: False,  # which would open every file at every look
        )
        for path in (path for _, paths in images for path in paths):
            try:
                state = path.stat()
            except FileNotFoundError:  # just gone
                continue
            name = path.relative_to(self.folder).as_posix()
            found.append(Arrival(path, name, state.st_size, state.st_mtime_ns))
        return sorted(found, key=lambda arrival: (arrival.modified_ns, arrival.name))
