"""Pictures with 16 bits a channel, of which Pillow's decoders keep the upper 8.

The lower ones are what it decodes where it is told that the bytes are in the other order. Values of
grey alone Pillow keeps, and so they are nothing to this file.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PLANAR_CONFIGURATION, TiffImageFile

OTHER_ORDER = {"B": "L", "L": "B", "N": "L" if sys.byteorder == "big" else "B"}
GREY_AND_ALPHA = "LA;16B"  # of PNG
APART = 2  # PLANAR_CONFIGURATION
WHITE = 65535

Tiles = list[Any]  # of each the decoder, box, offset and arguments, as Pillow has them


def is_deep(image: Image.Image) -> bool:
    """Whether ``deep_values`` has more of an image whose header was read than Pillow has."""
    return isinstance(image, ImageFile) and _tiles(image) is not None


def deep_values(image: Image.Image) -> npt.NDArray[np.uint16]:
    """``(H, W, 1|3)`` of an image whose header was read, which is decoded; upright."""
    assert isinstance(image, ImageFile)
    assert image.fp is not None
    tiles = _tiles(image)
    assert tiles is not None
    upper, lower = tiles
    if upper == lower:  # grey and alpha, two bytes each
        image._mode = "RGBA"
        values = _decoded(image, upper)
        return _joined(values[:, :, :1], values[:, :, 1:2])
    file, most = image.fp, _most(image)
    high = _decoded(image, upper)
    file.seek(0)
    with type(image)(file) as again:
        low = _decoded(again, lower)
    joined = _joined(high[:, :, :3], low[:, :, :3])
    if most == WHITE:
        return joined
    scaled = np.rint(np.minimum(joined, most) * np.float64(WHITE / most))
    return scaled.astype(np.uint16)


def _decoded(image: ImageFile, tiles: Tiles) -> npt.NDArray[np.uint8]:
    image.tile = tiles
    return np.asarray(ImageOps.exif_transpose(image))


def _joined(high: npt.NDArray[np.uint8], low: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    joined: npt.NDArray[np.uint16] = high.astype(np.uint16) * np.uint16(256) + low
    return joined


def _most(image: ImageFile) -> int:
    """The value that is white: of PPM, what the file says."""
    decoder, _, _, arguments = image.tile[0]
    return int(arguments[1]) if decoder == "ppm" and isinstance(arguments, tuple) else WHITE


def _tiles(image: ImageFile) -> tuple[Tiles, Tiles] | None:
    """How to decode the upper bytes, and how the lower ones."""
    upper: Tiles = []
    lower: Tiles = []
    apart = _one_after_the_other(image)
    for tile in image.tile:
        decoder, box, offset, given = tile
        args: tuple[Any, ...] = given if isinstance(given, tuple) else (given,)
        if decoder == "zip" and args == (GREY_AND_ALPHA,):
            both = [_like(tile, decoder, box, offset, "RGBA")]
            return both, both
        if decoder == "ppm" and args[0] == "RGB" and args[1] > 255:
            decoder, args = "raw", ("RGB;16B", 0, 1)
        mode, *more = args
        if apart:  # Pillow would take one byte for two
            if mode not in "RGB":  # alpha, which is dropped
                continue
            mode += apart
        kind, _, order = str(mode).partition(";16")
        if kind not in ("RGB", "RGBA", "RGBX", "R", "G", "B") or order not in OTHER_ORDER:
            return None
        other = f"{kind};16{OTHER_ORDER[order]}"
        upper.append(_like(tile, decoder, box, offset, (mode, *more)))
        lower.append(_like(tile, decoder, box, offset, (other, *more)))
    return (upper, lower) if upper else None


def _like(tile: Any, *parts: Any) -> Any:
    """A tile of these parts: a tuple, which has names in newer versions of Pillow."""
    return tile._make(parts) if hasattr(tile, "_make") else parts


def _one_after_the_other(image: ImageFile) -> str | None:
    """The raw mode's end of an uncompressed TIFF of 16 bits that keeps its colours apart."""
    if not isinstance(image, TiffImageFile) or image.tag_v2.get(PLANAR_CONFIGURATION) != APART:
        return None
    deep = set(image.tag_v2[BITSPERSAMPLE]) == {16} and image.mode in ("RGB", "RGBA")
    if not deep or any(tile[0] != "raw" for tile in image.tile):
        return None
    return ";16L" if image.tag_v2.prefix == b"II" else ";16B"
