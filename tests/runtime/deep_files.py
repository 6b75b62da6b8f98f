"""Files of 16 bits a channel, byte by byte: Pillow writes none in colour."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Order = Literal["<", ">"]
ORDERS: tuple[Order, Order] = ("<", ">")
PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> colour type


def png(pixels: npt.NDArray[np.integer[Any]]) -> bytes:
    """A PNG file of ``(H, W, C)``; its rows are filtered in turns as they are, from left and up."""
    height, width, channels = pixels.shape
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    step, filtered = 2 * channels, []
    for y, row in enumerate(rows):
        before = [np.zeros_like(row), np.roll(row, step), rows[y - 1] if y else np.zeros_like(row)]
        before[1][:step] = 0
        filtered.append(bytes([y % 3]) + (row - before[y % 3]).tobytes())
    head = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOURS[channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(filtered))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )  # fmt: skip


def ppm(pixels: npt.NDArray[np.integer[Any]], white: int = 65535) -> bytes:
    """A PPM file of ``(H, W, 3)``."""
    height, width, _ = pixels.shape
    return b"P6 %d %d %d\n" % (width, height, white) + pixels.astype(">u2").tobytes()


def tiff(
    pixels: npt.NDArray[Any], *, order: Order = "<", apart: bool = False, rows: int | None = None,
    orientation: int = 1, bits: int | None = None, tags: Sequence[tuple[int, int]] = (),
) -> bytes:  # fmt: skip
    """An uncompressed TIFF file of ``(H, W)`` or ``(H, W, C)``.

    Args:
        pixels: its values.
        order: of the bytes, ``<`` or ``>``.
        apart: one colour after the other.
        rows: of a strip; all if None.
        orientation: as EXIF has it.
        bits: that the file says it has a channel.
        tags: other ones, with their values.
    """
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    height, width, channels = pixels.shape
    layers = np.split(pixels, channels, axis=2) if apart else [pixels]
    strips = [
        layer[top : top + (rows or height)].astype(pixels.dtype.newbyteorder(order)).tobytes()
        for layer in layers
        for top in range(0, height, rows or height)
    ]
    entries: dict[int, Sequence[int]] = {
        256: [width], 257: [height], 258: [bits or 8 * pixels.itemsize] * channels, 259: [1],
        262: [2 if channels > 2 else 1], 273: [0] * len(strips), 274: [orientation],
        277: [channels], 278: [rows or height], 279: [len(strip) for strip in strips],
        284: [2 if apart else 1], 339: [{"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]] * channels,
        **{tag: [value] for tag, value in tags},
    }  # fmt: skip
    table = 8 + 2 + 12 * len(entries) + 4
    start = table + sum(4 * len(values) for values in entries.values() if len(values) > 1)
    places = np.cumsum([0, *map(len, strips)])[:-1] + start
    entries[273] = places.tolist()
    lines, long = b"", b""
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            packed, long = struct.pack(f"{order}I", table + len(long)), long + packed
        lines += struct.pack(f"{order}HHI", tag, 4, len(values)) + packed
    begin = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return begin + lines + bytes(4) + long + b"".join(strips)
