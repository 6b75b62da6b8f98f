"""Connections: how long each part of a request may take, and how many there may be."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from softpatch.serving.settings import ServerSettings

HEAD_BYTES = 16_384
MANY_PARTS = 20_000  # of a body that parts may be tiny in
TINY = 256  # bytes of a part, on average
GRACE = 1.0  # seconds without a request after which a connection may be closed for another
LINGER = 5.0  # seconds for which a refused client may go on sending, so that it sees the answer


class Room:
    """The connections that are open; ones without a request make way for others."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most, self._most_per_address = most, most_per_address
        self._open: set[Connection] = set()
        self._of: dict[str, set[Connection]] = {}  # address -> its connections

    def enter(self, new: Connection) -> bool:
        """Count a connection in, and close another that has no request if there are too many.

        Returns:
            False if there are twice too many and none to close.
        """
        for group, most in self._groups(new):
            if len(group) < most:
                continue
            longest = min(group, key=lambda one: one.rests_since or float("inf"))
            if (longest.rests_since or float("inf")) < new.loop.time() - GRACE:
                longest.close()
                self.leave(longest)
            elif len(group) >= 2 * most:
                return False
        self._open.add(new)
        self._of.setdefault(new.address, set()).add(new)
        return True

    def leave(self, one: Connection) -> None:
        """Count a connection out, if it was in."""
        self._open.discard(one)
        group = self._of.get(one.address, set())
        group.discard(one)
        if not group:
            self._of.pop(one.address, None)

    def crowded(self, one: Connection) -> bool:
        """Whether too many connections have a request, so that this one's is refused."""
        return any(
            len(group) > most and sum(other.rests_since is None for other in group) > most
            for group, most in self._groups(one)
        )

    def _groups(self, one: Connection) -> list[tuple[Collection[Connection], int]]:
        return [
            (self._of.get(one.address, set()), self._most_per_address),
            (self._open, self._most),
        ]


class _Parser(h11.Connection):
    """h11's parser, which refuses a body in many tiny parts: each of them costs as any other."""

    _parts = _bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._parts = self._bytes = 0
        elif isinstance(event, h11.Data):
            self._parts += 1
            self._bytes += len(event.data)
            if self._parts > MANY_PARTS and self._bytes < TINY * self._parts:
                raise h11.RemoteProtocolError("tiny parts")
        return event


class _Lingering:
    """What an answer is written to: closed only once the client has seen all of it.

    A socket that is closed while a client sends is reset, and the answer lost: a proxy makes a 502
    of it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing

    def close(self) -> None:
        """Close, or have the rest of the body read first."""
        if self._connection.conn.their_state is h11.SEND_BODY:
            self._connection.linger()
        else:
            self._connection.transport.close()


class Connection(H11Protocol):
    """uvicorn's connection, with a time limit for whatever it waits for."""

    def __init__(self, *arguments: Any, settings: ServerSettings, room: Room, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.settings, self.room = settings, room
        self.conn = _Parser(h11.SERVER, HEAD_BYTES)
        self.address = ""
        self.rests_since: float | None = None  # None while there is a request
        self._serve, self.app = self.app, self._admit
        self._refused = False
        self._stalled = False
        self._waits_for: tuple[str, object] = ("", None)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        with suppress(OSError, AttributeError):  # not TCP, or gone again
            # Or the second of two small writes waits for the client to acknowledge the first.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.room.enter(self):
            self._watch()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        self.room.leave(self)
        self._set_timer(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        if not self._refused:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        """A request is answered; uvicorn goes on with the next, if there is one already."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the time limits here are all there are
        self._watch()

    def pause_writing(self) -> None:
        """The client does not take the answer as fast as it is written."""
        super().pause_writing()
        self._stalled = True
        self._watch()

    def resume_writing(self) -> None:
        """It has taken most of it."""
        super().resume_writing()
        self._stalled = False
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for a request that is none."""
        error = sys.exc_info()[1]
        large = getattr(error, "error_status_hint", 400) == 431
        self._refuse(*((431, "the head of the request is too large") if large else (400, msg)))

    def close(self) -> None:
        """Close now; of an answer on its way the client loses what it has not taken."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def linger(self) -> None:
        """Answer no more, and close once the client does, or before long."""
        self._refused = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._set_timer(LINGER)

    async def _admit(self, scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["crowded"] = self.room.crowded(self)
        self.cycle.transport = cast("Any", _Lingering(self))
        await self._serve(scope, receive, send)

    def _watch(self) -> None:
        """Set the timer anew if what is waited for has changed."""
        waits_for = (self._phase(), self.cycle)
        if waits_for == self._waits_for or self._refused:
            return
        self._waits_for = waits_for
        phase = waits_for[0]
        if phase not in ("idle", "head"):
            self.rests_since = None
        elif self.rests_since is None:
            self.rests_since = self.loop.time()
        limits = {
            "idle": self.settings.idle_seconds,
            "head": self.settings.head_seconds,
            # The application has the first word, and answers 408.
            "body": self.settings.body_seconds + LINGER,
            "answer taken": self.settings.body_seconds,
        }
        self._set_timer(limits.get(phase))

    def _phase(self) -> str:
        if self._stalled:
            return "answer taken"
        if self.conn.their_state is h11.SEND_BODY:
            return "body"
        if self.cycle is not None and not self.cycle.response_complete:
            return "answer"
        return "head" if self.conn.trailing_data[0] else "idle"

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._expired)

    def _expired(self) -> None:
        if self._waits_for[0] == "head" and not self._refused:
            self._refuse(408, f"took longer than {self.settings.head_seconds:g} seconds")
        else:
            self.close()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer what is no request, if no answer has begun, and read no more."""
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            begun = self.cycle.response_started
            self.cycle.disconnected = True  # whatever the application answers is dropped
            self.cycle.message_event.set()
        else:
            begun = self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE)
        if begun:
            self.close()
            return
        content = json.dumps({"detail": detail}).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(content))),
            ("connection", "close"),
        ]
        response = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
        for event in (response, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.linger()
