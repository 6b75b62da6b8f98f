"""The results as lines of one file, which also records what has been done."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from softpatch.errors import DatasetError, UsageError
from softpatch.watch.arrivals import Arrival

NAME = "results.jsonl"
STATE = ("path", "bytes", "modified_ns")  # of an image that has arrived


class Journal:
    """One line per image, a JSON object, written when the image is done.

    A line counts once it ends: a last line that a kill left without its end is cut off when the
    journal is opened again, and that image is done again. So each image has one line.
    """

    def __init__(self, folder: Path) -> None:
        """Open or begin the journal in a folder, for this process alone.

        Raises:
            UsageError: another process has it open.
            DatasetError: it holds a line that is not from a journal.
        """
        self.path = folder / NAME
        self._file = self.path.open("a+b")
        self._lock()
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)
        try:
            records = [json.loads(line) for line in content[:whole].splitlines()]
            self._done = {tuple(record[key] for key in STATE) for record in records}
        except (ValueError, KeyError, TypeError) as error:
            self._file.close()
            raise DatasetError(
                f"{self.path}: holds a line that is no result; move the file away"
            ) from error

    def __contains__(self, arrival: Arrival) -> bool:
        return (arrival.name, arrival.bytes, arrival.modified_ns) in self._done

    def add(self, arrival: Arrival, result: dict[str, Any]) -> dict[str, Any]:
        """Write an image's line, and wait until it is on the disk."""
        state = (arrival.name, arrival.bytes, arrival.modified_ns)
        record = {**dict(zip(STATE, state, strict=True)), **result}
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._done.add(state)
        return record

    def close(self) -> None:
        """Let another process open it."""
        self._file.close()

    def _lock(self) -> None:
        """The system drops the lock when the process ends, however it ends."""
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise UsageError(
                f"{self.path}: another softpatch watch writes to it; give an --output of its own"
            ) from error
