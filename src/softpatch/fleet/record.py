"""What a camera's model was fitted on, kept beside the model.

Not in it: files have times, and the same fit has to give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from softpatch.fleet.photographs import Photographs
from softpatch.runtime.files import write_atomically

FORMAT = 1
SUFFIX = ".fit.json"

State = tuple[str, int, int]  # of a file: name below the camera's folder, bytes, time in ns


@dataclass(frozen=True)
class Record:
    """One fit.

    Attributes:
        pictures: the state of every picture that was there, sorted.
        unreadable: of those that could not be read, path and reason.
        photographs: what the pictures were like.
    """

    pictures: tuple[State, ...]
    unreadable: tuple[tuple[str, str], ...]
    photographs: Photographs

    def write(self, path: Path) -> None:
        """As JSON."""
        content = json.dumps({"format": FORMAT, **asdict(self)})
        write_atomically(path, f"{content}\n".encode())


def read_record(path: Path) -> Record | None:
    """None if there is none that can be read: the camera is then fitted again."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            return None
        seen = content["photographs"]
        return Record(
            tuple((str(name), int(size), int(time)) for name, size, time in content["pictures"]),
            tuple((str(path), str(reason)) for path, reason in content["unreadable"]),
            Photographs(
                tuple(map(float, seen["brightness"])), tuple(map(float, seen["sharpness"]))
            ),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def states(folder: Path, pictures: Iterable[Path]) -> tuple[State, ...]:
    """Of pictures below the folder, now; one that has just gone is left out."""
    found: list[State] = []
    for path in pictures:
        try:
            state = path.stat()
        except FileNotFoundError:
            continue
        found.append((path.relative_to(folder).as_posix(), state.st_size, state.st_mtime_ns))
    return tuple(sorted(found))


def new_among(now: Sequence[State], then: Sequence[State]) -> list[str]:
    """Names of pictures that were not there, or not as they are now, sorted."""
    known = set(then)
    return [state[0] for state in now if state not in known]
