"""Why a file is no picture that is read, and how to make one of it."""

from __future__ import annotations

from pathlib import PurePath
from typing import BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    ImageFileDirectory_v2,
    TiffImageFile,
)

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOSAIC = 32803  # of PHOTOMETRIC_INTERPRETATION
SIGNED = 2  # of SAMPLEFORMAT
# What software of cameras calls their data, which has no header.
RAW = frozenset(
    {
        ".raw", ".bin", ".bayer", ".mono10", ".mono12", ".mono14", ".mono16", ".mono10p",
        ".mono12p", ".mono10packed", ".mono12packed", ".y10p", ".y12p",
    }
)  # fmt: skip
SAVE = "save it as PNG or TIFF of 16 bits, see docs/pictures.md"


def why_unread(content: BinaryIO, name: str) -> str:
    """Of a file that Pillow does not know."""
    content.seek(0)
    if content.read(4) in TIFF:
        return _why_no_tiff(content)
    suffix = PurePath(name).suffix.lower()
    if suffix in RAW:
        return (
            "not a picture in a format that can be read, but data of a camera without size or "
            f"format: unpack Mono10p and Mono12p, demosaic Bayer, and {SAVE}"
        )
    return "not a picture in a format that can be read"


def why_misread(image: Image.Image) -> str | None:
    """Of a picture that Pillow would read otherwise than it was meant; None of others."""
    if isinstance(image, TiffImageFile):
        kinds = image.tag_v2.get(SAMPLEFORMAT, ())
        if SIGNED in kinds and 8 in image.tag_v2.get(BITSPERSAMPLE, ()):
            return "a TIFF of signed bytes; save it with 8 or 16 bits, unsigned"
    return None


def _why_no_tiff(content: BinaryIO) -> str:
    try:
        content.seek(0)
        head = content.read(8)
        if head[2:3] == b"+" or head[3:4] == b"+":
            head += content.read(8)
        tags = ImageFileDirectory_v2(head)
        content.seek(tags.next)
        tags.load(content)
        bits = tags[BITSPERSAMPLE][0]
        kind = tags.get(SAMPLEFORMAT, (1,))[0]
        if tags.get(PHOTOMETRIC_INTERPRETATION) == MOSAIC:
            return f"a raw TIFF of a camera (Bayer): demosaic it and {SAVE}"
    except Exception:  # whatever a damaged header makes of it
        return "cut or corrupt (the header of a TIFF)"
    if bits not in (8, 16, 32, 64):
        return f"a TIFF of {bits} packed bits, such as Mono{bits}p: unpack it and {SAVE}"
    sign = "signed " if kind == SIGNED else ""
    return f"a TIFF of {bits} {sign}bits in a form that is not read: {SAVE}"
