"""Settings of a service: limits and times."""

from __future__ import annotations

from dataclasses import dataclass

from softpatch.errors import UsageError
from softpatch.runtime.images import MAX_PIXELS


@dataclass(frozen=True)
class ServerSettings:
    """Limits of a service, and its waiting times.

    Attributes:
        api_key: key that requests must carry, in ASCII; None serves everybody.
        max_bytes: largest request.
        max_pixels: largest picture, at most ``images.MAX_PIXELS``.
        max_pictures: most pictures in a request.
        queue: pictures that may wait; requests that find no room are refused.
        read_seconds: time in which a request must arrive.
        look_seconds: interval of checks for changed model files; a changed file is loaded when two
            checks found it the same.
    """

    api_key: str | None = None
    max_bytes: int = 20_000_000
    max_pixels: int = MAX_PIXELS
    max_pictures: int = 32
    queue: int = 64
    read_seconds: float = 60.0
    look_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.api_key is not None and not (
            self.api_key and self.api_key.isascii() and self.api_key.isprintable()
        ):
            raise UsageError("the API key must be printable ASCII, and not empty")
        if not 1 <= self.max_pixels <= MAX_PIXELS:
            raise UsageError(f"max_pixels must be from 1 to {MAX_PIXELS:,}, got {self.max_pixels}")
        if self.queue < self.max_pictures:
            raise UsageError(
                f"a queue of {self.queue} never has room for a request of {self.max_pictures} "
                "pictures; make it longer, or max_pictures smaller"
            )
