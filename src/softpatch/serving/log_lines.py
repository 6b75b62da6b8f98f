"""Log lines on standard output, for which no request ever waits."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from softpatch.compute.log_lines import LogLines, descriptor_of

LOGGER = logging.getLogger("softpatch.serving")


@contextmanager
def logging_to_stdout() -> Iterator[None]:
    """Write everything this process logs to standard output, one JSON object a line."""
    descriptor = descriptor_of(sys.stdout)
    lines = LogLines(descriptor) if descriptor is not None else logging.NullHandler()
    lines.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[lines], force=True)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(lines)
        lines.close()


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
