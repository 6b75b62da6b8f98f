"""Settings of a service: who may use it, limits and times."""

from __future__ import annotations

from dataclasses import dataclass, fields

from softpatch.errors import UsageError
from softpatch.ranges.table import range_of
from softpatch.runtime.images import MAX_PIXELS
from softpatch.serving.origins import check_host, check_origin


@dataclass(frozen=True)
class ServerSettings:
    """Who may use a service, its limits, and its waiting times.

    Attributes:
        api_key: key that requests must carry, in ASCII; None serves everybody.
        allowed_hosts: names and addresses that may be in the header Host, beside those of this
            machine's loopback and the address that a connection arrives at.
        allowed_origins: such as ``https://mes.example``, whose pages may use the service beside
            its own.
        max_bytes: largest request.
        max_pixels: largest picture, at most ``images.MAX_PIXELS``.
        max_pictures: most pictures in a request.
        queue: pictures that may wait; requests that find no room are refused.
        waiting_bytes: of all requests that are being read or wait; one always has room.
        connections: open at a time; when there are more, idle ones are closed, and requests
            refused if there are none.
        connections_per_address: the same of one address.
        head_seconds: time in which the head of a request must arrive.
        body_seconds: time in which its body must arrive, and in which an answer must be taken.
        idle_seconds: time that a connection may be open without a request.
        look_seconds: interval of checks for changed model files; a changed file is loaded when two
            checks found it the same.
    """

    api_key: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_bytes: int = 20_000_000
    max_pixels: int = MAX_PIXELS
    max_pictures: int = 32
    queue: int = 64
    waiting_bytes: int = 256_000_000
    connections: int = 256
    connections_per_address: int = 64
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 10.0
    look_seconds: float = 1.0

    def __post_init__(self) -> None:
        key = self.api_key
        if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key):
            raise UsageError("the API key must be printable ASCII without spaces around it")
        if key == "":
            raise UsageError(
                "the API key must be printable ASCII, and not empty; unset SOFTPATCH_API_KEY to "
                "serve everybody"
            )
        for host in self.allowed_hosts:
            check_host(host)
        for origin in self.allowed_origins:
            check_origin(origin)
        for field in fields(self):
            row = range_of(field.name, "serve")
            if row is not None:
                row.check(field.name, getattr(self, field.name))
        if self.queue < self.max_pictures:
            raise UsageError(
                f"a queue of {self.queue} never has room for a request of {self.max_pictures} "
                "pictures; make it longer, or max_pictures smaller"
            )
