"""Images that have arrived in a folder, and for how long they have not changed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softpatch.runtime.images import EXTENSIONS


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

    def look(self) -> list[tuple[Arrival, float]]:
        """All images, oldest first, and for how many seconds they were seen unchanged.

        Hidden files and folders are left out: programs copy under such names.
        """
        now = time.monotonic()
        found = self._found()
        self._since = {arrival: self._since.get(arrival, now) for arrival in found}
        return [(arrival, now - self._since[arrival]) for arrival in found]

    def _found(self) -> list[Arrival]:
        found = []
        for top, folders, files in os.walk(self.folder):
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".") and (Path(top) / name).resolve() not in self._without
            ]
            for file in files:
                path = Path(top) / file
                if file.startswith(".") or path.suffix.lower() not in EXTENSIONS:
                    continue
                try:
                    state = path.stat()
                except FileNotFoundError:  # just gone
                    continue
                name = path.relative_to(self.folder).as_posix()
                found.append(Arrival(path, name, state.st_size, state.st_mtime_ns))
        return sorted(found, key=lambda arrival: (arrival.modified_ns, arrival.name))
