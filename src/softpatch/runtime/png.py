"""PNG files with more metadata than Pillow reads: their pixels are whole all the same."""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO

from PIL import PngImagePlugin

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def without_large_texts(file: BinaryIO) -> BinaryIO:
    """The file from its beginning; of a PNG file, without the texts that Pillow would refuse.

    Pillow takes a text or colour profile of more than 1 MB for an attack, and refuses the picture.
    """
    if file.read(len(SIGNATURE)) != SIGNATURE:
        file.seek(0)
        return file
    begin, total = len(SIGNATURE), 0
    spans: list[tuple[int, int]] = []  # to be left out
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        end = begin + 12 + length  # with a check sum
        if kind in TEXTS:
            size = _size(kind, file.read(length))
            total += size
            if size > PngImagePlugin.MAX_TEXT_CHUNK or total > PngImagePlugin.MAX_TEXT_MEMORY:
                spans.append((begin, end))
                total -= size
        file.seek(end)
        begin = end
    file.seek(0)
    if not spans:
        return file
    content = file.read()
    kept, begin = [], 0
    for start, end in spans:
        kept.append(content[begin:start])
        begin = end
    return io.BytesIO(b"".join([*kept, content[begin:]]))


def _size(kind: bytes, chunk: bytes) -> int:
    """Bytes of a text once it is decompressed, or just more than Pillow takes."""
    _, _, text = chunk.partition(b"\0")
    if kind == b"tEXt":
        return len(text)
    if kind == b"iTXt":
        compressed = text[:1] == b"\1"
        text = text[2:].split(b"\0", 2)[-1]
        if not compressed:
            return len(text)
    else:
        text = text[1:]
    inflating = zlib.decompressobj()
    try:
        size = len(inflating.decompress(text, PngImagePlugin.MAX_TEXT_CHUNK))
    except zlib.error:  # Pillow takes it for empty
        return 0
    return size + bool(inflating.unconsumed_tail)
