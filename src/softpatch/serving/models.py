"""The models of a service, by name; each can be replaced while it is in use."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from softpatch.detectors import Detector
from softpatch.errors import ModelFileError, SoftPatchError, UsageError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FileState = tuple[int, int, int]  # time of change in ns, bytes, inode


@dataclass(frozen=True)
class Served:
    """One loaded state of a model; a request keeps the one it started with."""

    name: str  # in URLs
    path: Path  # of its file
    detector: Detector
    file: FileState | None  # when last read, loaded or not; None if it was missing
    loaded: datetime  # when the detector was
    problem: str | None = None  # why the current file is not the one served; None if it is


class Models:
    """Models by name; a new file replaces the old one once it has scored a picture."""

    def __init__(self, paths: Mapping[str, Path], load: Callable[[Path], Detector]) -> None:
        """Load files written by ``Detector.save``, by name, with ``load``.

        Raises:
            UsageError: no models, or a name that does not fit into a URL.
            ModelFileError, BackboneError: a model cannot be loaded.
        """
        for name in paths:
            if not NAME.fullmatch(name):
                raise UsageError(
                    f"{name!r} is no name for a model; give one of letters, digits, dots, dashes "
                    "and underscores, as in part=FILE"
                )
        if not paths:
            raise UsageError("there is no model to serve")
        self._load = load
        # One model at a time, outside the threads that handle requests.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._seen: dict[str, FileState | None] = {}
        self._models = {name: self._open(name, path) for name, path in paths.items()}

    def __iter__(self) -> Iterator[Served]:
        return iter(list(self._models.values()))

    def get(self, name: str) -> Served | None:
        """The current model of that name."""
        return self._models.get(name)

    def changed(self) -> list[str]:
        """Names of models whose file has changed and was the same in two calls of this."""
        found = []
        for served in self:
            now = _state(served.path)
            if now != served.file and self._seen.get(served.name, served.file) == now:
                found.append(served.name)
            self._seen[served.name] = now
        return found

    async def reload(self, name: str) -> Served:
        """Load a model's file again; meanwhile the old model answers requests.

        Raises:
            ModelFileError: it cannot be loaded; the old model stays, with ``problem`` set.
        """
        return await asyncio.wrap_future(self._loader.submit(self._reload, name))

    def _reload(self, name: str) -> Served:
        old = self._models[name]
        state = _state(old.path)
        try:
            self._models[name] = self._open(name, old.path)
        except (SoftPatchError, OSError, MemoryError) as error:
            problem = str(error) or "out of memory"
            self._models[name] = replace(old, file=state, problem=problem)
            raise ModelFileError(problem) from error
        return self._models[name]

    def _open(self, name: str, path: Path) -> Served:
        state = _state(path)  # before reading, so that a change meanwhile is noticed
        detector = self._load(path)
        try:
            # The first prediction is slower, and a failing one must not be a client's.
            detector.predict(np.full((64, 64, 3), 128, np.uint8), refuse_unusable=False)
        except RuntimeError as error:
            raise ModelFileError(f"{path}: cannot score a picture ({error})") from error
        return Served(name, path, detector, state, datetime.now(UTC))


def _state(path: Path) -> FileState | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
