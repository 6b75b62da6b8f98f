"""Reads the pictures of a request, within the service's limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from softpatch.errors import ImageError
from softpatch.images.apart import Apart, Encoded
from softpatch.serving.scoring import FullError, Picture
from softpatch.serving.settings import ServerSettings

FIELD = "images"


@dataclass(frozen=True)
class Upload:
    """One uploaded picture."""

    name: str  # of the file, as the client gave it
    content: bytes  # of the file, not decoded


class Arriving:
    """Counts the bytes of all requests that are being read or wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0

    @contextmanager
    def request(self) -> Iterator[Callable[[int], None]]:
        """Gives a function that counts bytes of one request, until the block ends.

        It raises FullError if there is no room for them.
        """
        counted = 0

        def count(more: int) -> None:
            nonlocal counted
            if self._bytes + more > self._most:
                raise FullError
            self._bytes += more
            counted += more

        try:
            yield count
        finally:
            self._bytes -= counted


async def read_uploads(
    request: Request, settings: ServerSettings, count: Callable[[int], None], apart: Apart
) -> list[tuple[Upload, Picture]]:
    """Read a request's pictures and check their headers.

    Raises:
        HTTPException: 413 too many bytes, 408 too slow, 400 no pictures or files that are none,
            503 no place for temporary files.
        FullError: ``count`` has raised it.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(400, f"send pictures as multipart/form-data in the field {FIELD!r}")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > settings.max_bytes:
        raise _too_large(settings.max_bytes)
    try:
        async with asyncio.timeout(settings.body_seconds):
            uploads = await _received(request, settings, count)
    except TimeoutError as error:
        late = f"took longer than {settings.body_seconds:g} seconds"
        raise HTTPException(408, late, {"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the client left") from error
    except OSError as error:  # large files are kept in temporary ones meanwhile
        raise HTTPException(503, f"cannot keep the pictures: {error.strerror}") from error
    if not uploads:
        raise HTTPException(400, f"no pictures in the field {FIELD!r}")
    try:
        pictures = await asyncio.to_thread(_checked, uploads, settings.max_pixels, apart)
    except ImageError as error:
        raise HTTPException(400, str(error)) from error
    return list(zip(uploads, pictures, strict=True))


async def _received(
    request: Request, settings: ServerSettings, count: Callable[[int], None]
) -> list[Upload]:
    limited = Request(request.scope, _limited(request.receive, settings.max_bytes, count))
    most = settings.max_pictures
    async with limited.form(max_files=most, max_fields=most) as form:
        files = [part for part in form.getlist(FIELD) if isinstance(part, UploadFile)]
        return [Upload(file.filename or "image", await file.read()) for file in files]


def _limited(receive: Receive, most: int, count: Callable[[int], None]) -> Receive:
    """``receive``, which refuses the request once there is no room for its bytes."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        size = len(message.get("body", b""))
        received += size
        if received > most:
            raise _too_large(most)
        count(size)
        return message

    return limited


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"more than {most:,} bytes")


def _checked(uploads: list[Upload], max_pixels: int, apart: Apart) -> list[Picture]:
    return [
        Picture(
            Encoded(each.content, apart), apart.check_header(each.content, each.name, max_pixels)
        )
        for each in uploads
    ]
