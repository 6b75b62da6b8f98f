"""Files of every format, colour mode, depth and orientation, and odd ones, by what they are."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from tests.runtime.deep_files import ORDERS, png, ppm, tiff

ROWS, COLUMNS = np.mgrid[0:24, 0:40]
RGB = np.stack([COLUMNS * 6, ROWS * 10, 255 - COLUMNS * 5 - ROWS], -1).astype(np.uint8)
GREY = RGB[:, :, 0]
DEEP = GREY.astype(np.uint16) * 257
COLOURS = RGB.astype(np.uint16) * 251 + 7  # that 8 bits do not hold
UNIT = GREY.astype(np.float32) / 255
TURNED = {orientation: Image.Exif() for orientation in range(1, 9)}
for orientation, exif in TURNED.items():
    exif[ExifTags.Base.Orientation] = orientation


def saved(image: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def with_hole(value: float) -> Any:
    pixels = UNIT.copy()
    pixels[3, 3] = value
    return pixels


def pages(kind: str) -> bytes:
    second = Image.fromarray(RGB[::-1].copy())
    return saved(RGB, kind, save_all=True, append_images=[second])


FLAT = Image.fromarray(RGB)


def of_a_camera(image: Any = RGB, **options: Any) -> bytes:
    """A JPEG file with a preview behind the photograph."""
    preview = Image.new("RGB", (16, 12))
    return saved(image, "MPO", save_all=True, append_images=[preview], **options)


FILES: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: saved(RGB, "PNG"),
    "grey PNG": lambda: saved(GREY, "PNG"),
    "JPEG": lambda: saved(RGB, "JPEG"),
    "TIFF": lambda: saved(RGB, "TIFF"),
    "TIFF, compressed": lambda: saved(RGB, "TIFF", compression="tiff_lzw"),
    "BMP": lambda: saved(RGB, "BMP"),
    "WebP": lambda: saved(RGB, "WEBP", lossless=True),
    "PPM": lambda: saved(RGB, "PPM"),
    "PGM": lambda: saved(GREY, "PPM"),
    "JPEG 2000": lambda: saved(RGB, "JPEG2000"),
    "float TIFF": lambda: saved(UNIT, "TIFF"),
    "float TIFF, 0 to 255": lambda: saved(UNIT * 255, "TIFF"),
    "float TIFF, signed": lambda: saved(UNIT - 0.5, "TIFF"),
    "float TIFF, NaN": lambda: saved(with_hole(np.nan), "TIFF"),
    "float TIFF, infinite": lambda: saved(with_hole(np.inf), "TIFF"),
    "32-bit TIFF": lambda: saved(DEEP.astype(np.int32), "TIFF"),
    "32-bit TIFF, beyond 16": lambda: saved(DEEP.astype(np.int32) * 70_000, "TIFF"),
    "32-bit TIFF, negative": lambda: saved(DEEP.astype(np.int32) - 9, "TIFF"),
    "16-bit TIFF": lambda: saved(DEEP, "TIFF"),
    "16-bit TIFF, zero is white": lambda: tiff(65535 - DEEP, tags=[(262, 0)]),
    "16-bit TIFF, zero is white, turned": lambda: tiff(
        65535 - DEEP, orientation=6, tags=[(262, 0)]
    ),
    "8-bit TIFF, zero is white": lambda: tiff(255 - GREY, tags=[(262, 0)]),
    "16-bit PNG": lambda: saved(DEEP, "PNG"),
    "16-bit PGM": lambda: saved(DEEP, "PPM"),
    "16-bit PNG in colour": lambda: png(COLOURS),
    "16-bit PNG in colour, with alpha": lambda: png(np.dstack([COLOURS, DEEP])),
    "16-bit PNG, grey and alpha": lambda: png(COLOURS[:, :, :2]),
    "16-bit PPM": lambda: ppm(COLOURS),
    "12-bit PPM": lambda: ppm(COLOURS >> 4, 4095),
    **{
        f"16-bit TIFF in colour, {bytes_}, {layers}, {strips}": partial(
            tiff, COLOURS, order=order, apart=apart, rows=rows
        )
        for bytes_, order in zip(("little-endian", "big-endian"), ORDERS, strict=True)
        for layers, apart in (("colours together", False), ("colours apart", True))
        for strips, rows in (("one strip", None), ("strips", 5))
    },
    "16-bit TIFF in colour, turned": lambda: tiff(COLOURS, orientation=6),
    "16-bit TIFF in colour, with a fourth": lambda: tiff(
        np.dstack([COLOURS, DEEP]), apart=True, tags=[(338, 0)]
    ),
    "8-bit TIFF, one colour after the other": lambda: tiff(RGB, apart=True),
    "signed 16-bit TIFF": lambda: tiff(GREY.astype(np.int16) * 90),
    "signed 16-bit TIFF, negative": lambda: tiff(GREY.astype(np.int16) * 90 - 9),
    "signed 8-bit TIFF": lambda: tiff(GREY.astype(np.int8)),
    "unsigned 32-bit TIFF": lambda: tiff(DEEP.astype(np.uint32) << 16),
    "32-bit TIFF in colour": lambda: tiff(COLOURS.astype(np.uint32)),
    "float TIFF in colour": lambda: tiff(RGB.astype(np.float32) / 255),
    "float TIFF of 16 bits": lambda: tiff(UNIT.astype(np.float16)),
    "10-bit TIFF, packed": lambda: tiff(DEEP, bits=10),
    "14-bit TIFF, packed": lambda: tiff(DEEP, bits=14),
    "Bayer TIFF": lambda: tiff(DEEP, tags=[(262, 32803)]),
    "16-bit JPEG 2000": lambda: saved(DEEP, "JPEG2000"),
    "one bit": lambda: saved(GREY > 90, "PNG"),
    "palette": lambda: saved(FLAT.quantize(16), "PNG"),
    "palette, transparent": lambda: saved(FLAT.quantize(16), "PNG", transparency=2),
    "GIF": lambda: saved(FLAT.quantize(16), "GIF"),
    "alpha": lambda: saved(np.dstack([RGB, GREY]), "PNG"),
    "grey and alpha": lambda: saved(np.dstack([GREY, GREY]), "PNG"),
    "CMYK TIFF": lambda: saved(FLAT.convert("CMYK"), "TIFF"),
    "CMYK JPEG": lambda: saved(FLAT.convert("CMYK"), "JPEG"),
    "YCbCr TIFF": lambda: saved(FLAT.convert("YCbCr"), "TIFF"),
    "LAB TIFF": lambda: saved(Image.new("LAB", (8, 6), (90, 20, 30)), "TIFF"),
    "grey JPEG": lambda: saved(GREY, "JPEG"),
    "AVIF": lambda: saved(RGB, "AVIF"),
    "MPO": lambda: of_a_camera(),
    "MPO, turned": lambda: of_a_camera(exif=TURNED[6]),
    "MPO, its list of pictures damaged": lambda: of_a_camera().replace(b"MPF\0II", b"MPF\0XX"),
    "MPO, its preview cut": lambda: of_a_camera()[:-300],
    "frames, GIF": lambda: pages("GIF"),
    "frames, WebP": lambda: pages("WEBP"),
    "frames, PNG": lambda: pages("PNG"),
    "pages, TIFF": lambda: pages("TIFF"),
    "PNG, cut": lambda: saved(RGB, "PNG")[:-40],
    "JPEG, cut": lambda: saved(RGB, "JPEG")[:-40],
    "TIFF, cut": lambda: saved(RGB, "TIFF")[:-40],
    "nothing": lambda: b"",
    "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "PDF": lambda: b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
    "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "HEIC": lambda: b"\0\0\0\x18ftypheic" + bytes(200),
    "WMF": lambda: b"\xd7\xcd\xc6\x9a" + bytes(40),
    "GRIB": lambda: b"GRIB" + b"\0\0\0\x01" + bytes(40),
    "ICO": lambda: saved(FLAT, "ICO"),
    "PCX": lambda: saved(FLAT, "PCX"),
    **{
        f"{kind}, turned {orientation}": partial(saved, RGB, kind, exif=exif)
        for kind in ("TIFF", "JPEG", "PNG", "WEBP")
        for orientation, exif in TURNED.items()
    },
}  # fmt: skip
OFF_THE_LIST = ("EPS", "PDF", "SVG", "HEIC", "WMF", "GRIB", "ICO", "PCX")
