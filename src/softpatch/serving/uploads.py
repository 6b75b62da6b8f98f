"""Reads the pictures of a request, within the service's limits."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from softpatch.errors import ImageError
from softpatch.runtime.images import check_header
from softpatch.serving.settings import ServerSettings

FIELD = "images"
LINGER = 5.0  # seconds for reading and discarding the rest of a refused request


@dataclass(frozen=True)
class Upload:
    """One uploaded picture."""

    name: str  # of the file, as the client gave it
    content: bytes  # of the file, not decoded


async def read_uploads(request: Request, settings: ServerSettings) -> list[Upload]:
    """Read a request's pictures and check their headers.

    Raises:
        HTTPException: 413 too many bytes, 408 too slow, 400 no pictures or files that are none.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(400, f"send pictures as multipart/form-data in the field {FIELD!r}")
    try:
        async with asyncio.timeout(settings.body_seconds):
            uploads = await _received(request, settings)
    except TimeoutError as error:
        raise HTTPException(408, f"took longer than {settings.body_seconds:g} seconds") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the client left") from error
    if not uploads:
        raise HTTPException(400, f"no pictures in the field {FIELD!r}")
    try:
        await asyncio.to_thread(_check, uploads, settings.max_pixels)
    except ImageError as error:
        raise HTTPException(400, str(error)) from error
    return uploads


async def _received(request: Request, settings: ServerSettings) -> list[Upload]:
    limited = Request(request.scope, _limited(request.receive, settings.max_bytes))
    most = settings.max_pictures
    async with limited.form(max_files=most, max_fields=most) as form:
        files = [part for part in form.getlist(FIELD) if isinstance(part, UploadFile)]
        return [Upload(file.filename or "image", await file.read()) for file in files]


def _limited(receive: Receive, most: int) -> Receive:
    """``receive``, which refuses the request once it exceeds ``most`` bytes."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            await _discard(receive, message)
            raise HTTPException(413, f"more than {most:,} bytes")
        return message

    return limited


async def _discard(receive: Receive, message: Message) -> None:
    """Read to the end, as a client that is still sending would not see the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while message.get("more_body", False):
                message = await receive()


def _check(uploads: list[Upload], max_pixels: int) -> None:
    for upload in uploads:
        check_header(upload.content, upload.name, max_pixels)
