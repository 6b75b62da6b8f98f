"""Pictures in: any file Pillow reads or an array -> (H, W, 3) uint8, as softpatch reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from softpatch_runtime.errors import ImageError, UsageError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
MAX_PIXELS = 64_000_000  # more is a decompression bomb
ON_THEIR_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height

Levels = npt.NDArray[np.uint8]


def list_images(folder: Path) -> list[Path]:
    """All pictures below ``folder`` that are not hidden, sorted.

    Raises:
        UsageError: there are none.
    """
    found = []
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(top) / name for name in files if not name.startswith(".")]
    paths = sorted(path for path in found if path.suffix.lower() in EXTENSIONS)
    if not paths:
        raise UsageError(f"{folder}: no pictures found")
    return paths


def read_image(content: Any, name: str, enough: int | None) -> tuple[Levels, tuple[int, int]]:
    """Read one picture.

    Args:
        content: a path, or an array ``(H, W)`` / ``(H, W, 1|3|4)`` of uint8.
        name: how errors call it.
        enough: pixels that no side needs to exceed: a JPEG file is decoded at a half, a quarter
            or an eighth of its size if both sides stay as long. None decodes all.

    Returns:
        ``(H, W, 3)`` uint8 and the (height, width) in the file. Grey is repeated, an alpha channel
        dropped, 16 bits are rounded to 8, EXIF rotation is applied.

    Raises:
        ImageError: unreadable, empty, animated, too large, or of another shape or type.
    """
    if isinstance(content, np.ndarray):
        levels = _levels(content, name)
        return levels, (levels.shape[0], levels.shape[1])
    path = Path(content)
    with _decoding(name):
        if path.stat().st_size == 0:
            raise ImageError(name, "the file is empty (0 bytes)")
        with Image.open(path) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise ImageError(name, f"animated or multi-page ({frames} frames); save one frame")
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _too_large(name)
            if enough is not None and image.format == "JPEG":
                image.draft(image.mode, (enough, enough))
            turned = image.getexif().get(ExifTags.Base.Orientation) in ON_THEIR_SIDE
            levels = _levels(_array(ImageOps.exif_transpose(image)), name)
            return levels, (width, height) if turned else (height, width)


def _array(image: Image.Image) -> npt.NDArray[Any]:
    if image.mode.startswith("I"):  # 16-bit grey, which some decoders widen to 32
        wide = np.asarray(image).astype(np.float64)
        return np.floor(wide.clip(0, 65535) / 257 + 0.5).astype(np.uint8)
    if image.mode == "F":
        return np.floor(np.asarray(image).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    if image.mode == "P":
        image = image.convert("RGBA")  # straight to RGB, Pillow warns of transparency
    return np.asarray(image.convert("RGB"))


def _levels(array: npt.NDArray[Any], name: str) -> Levels:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(name, f"shape {array.shape} is no image; expected (H, W) or (H, W, 3)")
    if array.dtype != np.uint8:
        raise ImageError(name, f"{array.dtype} values; expected uint8")
    three = array[:, :, :3]
    return np.ascontiguousarray(np.broadcast_to(three, (*three.shape[:2], 3)))


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Whatever Pillow raises while the block runs is the picture's fault."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise ImageError(name, "not a picture in a format that can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except FileNotFoundError as error:
        raise ImageError(name, "no such file") from error
    except PermissionError as error:
        raise ImageError(name, "no permission to read it") from error
    except Exception as error:
        # For cut and corrupt files Pillow's decoders raise OSError, SyntaxError, TypeError ...
        raise ImageError(name, f"cut or corrupt ({error})") from error


def _too_large(name: str) -> ImageError:
    return ImageError(name, f"more than {MAX_PIXELS:,} pixels; scale it down or cut it")
