"""Logs as one JSON object a line: what happened and how long it took, never what was shown."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

LOGGER = logging.getLogger("softpatch.serving")


def log(event: str, level: int = logging.INFO, **fields: object) -> None:
    """Write down an event."""
    LOGGER.log(level, event, extra={"fields": fields})


def log_failure(error: BaseException, **fields: object) -> None:
    """Write down an error by its kind and place: its words may hold what a client has sent."""
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    log("failed", logging.ERROR, error=type(error).__name__, at=frames, **fields)


def log_to_stdout() -> None:
    """Let all that this process logs become lines on standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(logging.INFO)


class JsonLines(logging.Formatter):
    """``time``, ``level`` and ``event``, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        content = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(content)
