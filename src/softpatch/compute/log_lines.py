"""Lines on standard output for which no work ever waits."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from contextlib import suppress
from typing import TextIO

ROOM = 10_000  # lines that may wait to be written; further ones are lost
END_SECONDS = 2.0  # for writing what waits when the process ends


class LogLines(logging.Handler):
    """Writes lines in a thread of its own.

    A pipe that nobody reads makes only that thread wait. Lines that find no room then, or cannot
    be written (a full disk), are lost: a note on standard error says so once, and a line in the
    log how many, as soon as it takes lines again.
    """

    def __init__(self, descriptor: int, room: int = ROOM, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding
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
            self._lines.put_nowait(self._line(record))
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
                if self._written(self._line(told)):
                    self._lost -= lost
            if not self._written(line):
                self._lose()

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode(self._encoding, "backslashreplace")

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


def _note_loss() -> None:
    descriptor = descriptor_of(sys.stderr)
    if descriptor is not None:
        with suppress(OSError):
            # Without a buffer, whose lock would keep the process from ending.
            os.write(descriptor, b"log lines are lost: standard output does not take them\n")


def descriptor_of(stream: TextIO | None) -> int | None:
    """The number of a stream that is open: its number may be another file's otherwise."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):  # closed, or not a file
        return None
