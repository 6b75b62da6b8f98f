"""Log lines on standard output, for which no request ever waits."""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TextIO

LOGGER = logging.getLogger("softpatch.serving")
ROOM = 10_000  # lines that may wait to be written; further ones are lost
END_SECONDS = 2.0  # for writing what waits when the service ends


@contextmanager
def logging_to_stdout() -> Iterator[None]:
    """Write everything this process logs to standard output, one JSON object a line."""
    descriptor = _descriptor(sys.stdout)
    lines = LogLines(descriptor) if descriptor is not None else logging.NullHandler()
    lines.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[lines], force=True)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(lines)
        lines.close()


class LogLines(logging.Handler):
    """Writes lines in a thread of its own.

    A pipe that nobody reads makes only that thread wait. Lines that find no room then, or cannot
    be written (a full disk), are lost: a note on standard error says so once, and a line in the
    log how many, as soon as it takes lines again.
    """

    def __init__(self, descriptor: int, room: int = ROOM) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lines: queue.Queue[bytes | None] = queue.Queue(room)
        self._lost = 0
        self._noted = False
        self._whole = True  # whether what was written last ends a line
        # Not waited for when the process ends, as it may never get to write.
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have a line written."""
        try:
            self._lines.put_nowait(f"{self.format(record)}\n".encode())
        except Exception:  # full, or it cannot be formatted
            self._lose()

    def close(self) -> None:
        """Write what waits, if that goes quickly."""
        with suppress(queue.Full):
            self._lines.put_nowait(None)
            self._thread.join(END_SECONDS)
        super().close()

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            lost = self._lost
            fields = {"fields": {"lines": lost}}
            if lost:
                told = logging.makeLogRecord({
                    "levelno": logging.WARNING, "levelname": "WARNING", "msg": "log lines lost",
                    **fields,
                })  # fmt: skip
                if self._written(f"{self.format(told)}\n".encode()):
                    self._lost -= lost
            if not self._written(line):
                self._lose()

    def _written(self, line: bytes) -> bool:
        rest = line if self._whole else b"\n" + line
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
                self._whole = False
        except OSError:
            return False
        self._whole = True
        return True

    def _lose(self) -> None:
        self._lost += 1
        if not self._noted:
            self._noted = True
            # That may have to wait as well: both are often one pipe.
            threading.Thread(target=_note_loss, daemon=True).start()


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``event``, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        content = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(content)


def _note_loss() -> None:
    descriptor = _descriptor(sys.stderr)
    if descriptor is not None:
        with suppress(OSError):
            # Without a buffer, whose lock would keep the process from ending.
            os.write(descriptor, b"log lines are lost: standard output does not take them\n")


def _descriptor(stream: TextIO | None) -> int | None:
    """Of a stream that is open: its number may be another file's otherwise."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):  # closed, or not a file
        return None
