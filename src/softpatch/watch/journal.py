"""The results as lines of one file, which is also the memory of what has been done."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from softpatch.errors import DatasetError, UsageError
from softpatch.watch.arrivals import Arrival

NAME = "results.jsonl"


class Journal:
    """One JSON object a line and picture, written once the picture is done.

    A line counts from its end of line on: what a kill left of the last one is cut off when the
    journal is opened again, and that picture is done again. So each has one line.
    """

    def __init__(self, folder: Path) -> None:
        """Open or begin the journal of a folder, for this process alone.

        Raises:
            UsageError: another process has it open.
            DatasetError: it holds a line that is none of a journal.
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
            self._done = {(r["path"], r["bytes"], r["modified_ns"]) for r in records}
        except (ValueError, KeyError, TypeError) as error:
            self._file.close()
            raise DatasetError(
                f"{self.path}: holds a line that is no result; move the file away"
            ) from error

    def __contains__(self, arrival: Arrival) -> bool:
        return (arrival.name, arrival.bytes, arrival.modified_ns) in self._done

    def add(self, arrival: Arrival, result: dict[str, Any]) -> dict[str, Any]:
        """Write a picture's line, and wait until it is on the disk."""
        record = {
            "path": arrival.name,
            "bytes": arrival.bytes,
            "modified_ns": arrival.modified_ns,
            **result,
        }
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._done.add((arrival.name, arrival.bytes, arrival.modified_ns))
        return record

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()

    def _lock(self) -> None:
        """The system drops the lock with the process, however that ends."""
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise UsageError(
                f"{self.path}: another softpatch watch writes to it; give an --out of its own"
            ) from error
