"""Pictures as clients send them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.detectors.pictures import new_pictures

GOOD, DARK = new_pictures(5)[0], new_pictures(5)[-1]  # the second with a dark spot


def encoded(picture: npt.NDArray[np.uint8] = GOOD, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=kind, **options)
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG file of a few hundred bytes whose header promises ``width`` x ``height`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data))
        )  # fmt: skip

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def sent(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """What ``post`` takes as ``files``."""
    return [("images", (f"{at}.png", content)) for at, content in enumerate(contents)]
