"""What a camera's model was fitted on, in a file beside the model.

Not inside the model: files have times, and the same fit has to give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from softpatch.fleet.photographs import Photographs
from softpatch.runtime.files import open_ordinary, write_atomically

FORMAT = 1
SUFFIX = ".fit.json"

State = tuple[str, int, int]  # a file's name below the camera's folder, bytes, time in ns


@dataclass(frozen=True)
class FitRecord:
    """Pictures of one fit."""

    pictures: tuple[State, ...]  # every one in the folder, sorted
    unreadable: tuple[tuple[str, str], ...]  # path and reason
    photographs: Photographs

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        content = json.dumps({"format": FORMAT, **asdict(self)})
        write_atomically(path, f"{content}\n".encode())


def is_record(path: Path) -> bool:
    """Whether a file is a record, be it cut: a fit replaces that, too."""
    beginning = b'{"format": 1, "pictures": '
    with open_ordinary(path) as file:
        return beginning.startswith(file.read(len(beginning)))


def read_record(path: Path) -> FitRecord | None:
    """Read a record; None if it is missing or damaged, and the camera is then fitted again."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            return None
        seen = content["photographs"]
        return FitRecord(
            tuple((str(name), int(size), int(time)) for name, size, time in content["pictures"]),
            tuple((str(path), str(reason)) for path, reason in content["unreadable"]),
            Photographs(*(tuple(map(float, seen[key])) for key in ("brightness", "sharpness"))),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def states(folder: Path, pictures: Iterable[Path]) -> tuple[State, ...]:
    """The current states of pictures below the folder, sorted; deleted ones are left out."""
    found: list[State] = []
    for path in pictures:
        try:
            state = path.stat()
        except FileNotFoundError:
            continue
        found.append((path.relative_to(folder).as_posix(), state.st_size, state.st_mtime_ns))
    return tuple(sorted(found))


def new_among(now: Sequence[State], then: Sequence[State]) -> list[str]:
    """Names of pictures that are new or have changed, sorted."""
    known = set(then)
    return [state[0] for state in now if state not in known]
