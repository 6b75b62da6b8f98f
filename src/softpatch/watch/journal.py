"""The results as lines of one file, which also records what has been done."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from softpatch.errors import DatasetError, UsageError
from softpatch.watch.arrivals import Arrival

NAME = "results.jsonl"
BEGINNING = b'{"path": '  # of a line
STATE = ("path", "bytes", "modified_ns")  # of an image that has arrived


class Journal:
    """One line per image, a JSON object, written when the image is done.

    A line counts once it ends: a last line that a kill left without its end is cut off when the
    journal is opened again, and that image is done again. So each image has one line.
    """

    def __init__(self, folder: Path) -> None:
        """Open or begin the journal in a folder, for this process alone.

        Raises:
            UsageError: another process has it open, or it is no ordinary file.
            DatasetError: it holds a line that is not from a journal.
        """
        self.path = folder / NAME
        self._done: set[tuple[Any, ...]] = set()
        self._open()

    def __contains__(self, arrival: Arrival) -> bool:
        return (arrival.name, arrival.bytes, arrival.modified_ns) in self._done

    def add(self, arrival: Arrival, result: dict[str, Any]) -> dict[str, Any]:
        """Write an image's line, and wait until it is on the disk.

        Raises:
            OSError: it cannot be written; nothing of it is left in the file.
        """
        state = (arrival.name, arrival.bytes, arrival.modified_ns)
        record = {**dict(zip(STATE, state, strict=True)), **result}
        before = os.fstat(self._file.fileno()).st_size
        line = json.dumps(record).encode() + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):
                self._file.truncate(before)
            raise
        self._done.add(state)
        return record

    def reopen_if_moved(self) -> bool:
        """Begin another file if this one has lost its name, as it does when logs are rotated.

        What has been done stays known.

        Returns:
            whether it had.

        Raises:
            OSError, UsageError, DatasetError: as when it is made.
        """
        with suppress(FileNotFoundError):
            if os.path.samestat(self.path.stat(), os.fstat(self._file.fileno())):
                return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        old = self._file
        self._open()
        old.close()
        return True

    def close(self) -> None:
        """Let another process open it."""
        self._file.close()

    def _open(self) -> None:
        """Open the file of that name, and take in what is recorded there."""
        if os.path.lexists(self.path) and not self.path.is_file():
            raise UsageError(f"{self.path}: is no ordinary file; give another --output")
        file = self.path.open("a+b", buffering=0)
        try:
            self._lock(file.fileno())
            file.seek(0)
            content = file.readall()
            whole = content.rfind(b"\n") + 1
            self._done = self._done | self._recorded(content[:whole])
            half = content[whole:].strip(b"\0")  # which some disks leave after a power cut
            if not half.startswith(BEGINNING[: len(half)]):
                raise self._foreign()
            file.truncate(whole)
        except BaseException:
            file.close()
            raise
        self._file = file

    def _recorded(self, lines: bytes) -> set[tuple[Any, ...]]:
        try:
            records = [json.loads(line) for line in lines.splitlines()]
            return {tuple(record[key] for key in STATE) for record in records}
        except (ValueError, KeyError, TypeError) as error:
            raise self._foreign() from error

    def _foreign(self) -> DatasetError:
        return DatasetError(f"{self.path}: holds a line that is no result; move the file away")

    def _lock(self, descriptor: int) -> None:
        """The system drops the lock when the process ends, however it ends."""
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{self.path}: another softpatch watch writes to it; give an --output of its own"
            ) from error
