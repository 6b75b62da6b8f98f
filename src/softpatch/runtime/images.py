"""One image, a file or an array -> its values, whatever its format, colour mode or bit depth."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .errors import DatasetError, ImageError
from .files import open_ordinary
from .own_files import is_drawing, is_quarantine
from .png import without_large_texts

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # EXTENSIONS, as Pillow calls them
MAX_PIXELS = 64_000_000  # 8,000 x 8,000: one float32 copy is 768 MB; more is a decompression bomb
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height

Levels = npt.NDArray[np.uint8]
Values = Levels | npt.NDArray[np.float32]


def is_picture(path: Path) -> bool:
    """Whether a file, or a link to one, is called like an image and no drawing of softpatch's."""
    return path.suffix.lower() in EXTENSIONS and not is_drawing(path)


def list_images(folder: Path) -> list[Path]:
    """All images below ``folder`` that are not hidden, sorted by path.

    What softpatch itself has drawn or put away there is left out, see ``own_files``.

    Raises:
        DatasetError: the folder does not exist, cannot be read or holds no images.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    try:
        entries = _walk(folder)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be listed ({error.strerror})") from error
    paths = sorted(filter(is_picture, entries))
    if not paths:
        raise DatasetError(
            f"{folder}: no pictures found (looked for {', '.join(sorted(EXTENSIONS))})"
        )
    return paths


def decode(
    content: Any, name: str = "image", min_decode_side: int | None = None
) -> tuple[Values, tuple[int, int]]:
    """Read one image.

    Args:
        content: a path, the bytes of a file of one of ``FORMATS``, a PIL image, or an array
            ``(H, W)`` / ``(H, W, 1|3|4)`` of uint8, uint16, bool or float in [0, 1].
        name: what errors call it; a path is called by itself.
        min_decode_side: pixels that no side of the result needs to exceed; a JPEG file is decoded
            at a half, a quarter or an eighth of its size if both sides stay as long. None decodes
            all.

    Returns:
        ``(H, W, 1|3)`` uint8, or float32 in [0, 1] where the image is not of 8 bits, and the
        (height, width) in the file. An alpha channel is dropped, 16 bits are scaled by 1/65535,
        EXIF rotation is applied. May share memory with ``content``.

    Raises:
        ImageError: unreadable, empty, animated, too large, or of an unknown shape or range.
    """
    if isinstance(content, str | Path):
        return _from_file(Path(content), str(content), min_decode_side)
    if isinstance(content, bytes):
        return _from_file(io.BytesIO(content), name, min_decode_side)
    if isinstance(content, Image.Image):
        with _decoding(name):
            values = _from_pil(content, name)
    elif isinstance(content, np.ndarray):
        values = _from_array(content, name)
    else:
        raise ImageError(name, f"a {type(content).__name__} is no image")
    return values, (values.shape[0], values.shape[1])


def read_levels(
    content: Any, name: str = "image", min_decode_side: int | None = None
) -> tuple[Levels, tuple[int, int]]:
    """``decode`` as an exported model takes it: ``(H, W, 3)``, rounded to 8 bits."""
    values, size = decode(content, name, min_decode_side)
    if values.dtype != np.uint8:
        values = np.rint(values * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3))), size


def check_header(content: bytes, name: str, most: int) -> None:
    """Raise ImageError for a file that is no image or has more than ``most`` pixels, undecoded."""
    with _opened(io.BytesIO(content), name) as image:
        if image.width * image.height > most:
            raise _too_large(name, most)


def file_size(file: Path | io.BytesIO, name: str) -> tuple[int, int]:
    """(height, width) of an image file as ``decode`` gives it, from its header.

    Raises:
        ImageError: unreadable, or no image.
    """
    with _opened(file, name) as image:
        return _upright(image)


def file_mode(file: Path | io.BytesIO, name: str) -> str:
    """Pillow's colour mode of an image file, from its header.

    Raises:
        ImageError: unreadable, or no image.
    """
    with _opened(file, name) as image:
        return image.mode


def _walk(folder: Path, above: tuple[Path, ...] = ()) -> list[Path]:
    """Every file below ``folder`` that is not hidden.

    Unlike with ``Path.rglob``, an unreadable folder is an error; links that lead back up are not
    followed.
    """
    here = (*above, folder.resolve())
    files: list[Path] = []
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            files.append(entry)
        elif not is_quarantine(entry) and entry.resolve() not in here:
            files.extend(_walk(entry, here))
    return files


def _from_file(
    file: Path | io.BytesIO, name: str, min_decode_side: int | None
) -> tuple[Values, tuple[int, int]]:
    with _opened(file, name) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise ImageError(name, f"animated or multi-page ({frames} frames); save one frame")
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise _too_large(name, MAX_PIXELS)
        size = _upright(image)
        if min_decode_side is not None and image.format == "JPEG":
            image.draft(image.mode, (min_decode_side, min_decode_side))
        return _from_pil(image, name), size


def _upright(image: Image.Image) -> tuple[int, int]:
    """(height, width) as EXIF wants it shown."""
    width, height = image.size
    turned = image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
    return (width, height) if turned else (height, width)


@contextmanager
def _opened(file: Path | io.BytesIO, name: str) -> Iterator[Image.Image]:
    """The image with its header read."""
    with _decoding(name):
        # Uploads: known formats only; some of Pillow's plugins call external programs.
        formats = None if isinstance(file, Path) else FORMATS
        with open_ordinary(file) if isinstance(file, Path) else file as content:
            if not content.read(1):
                raise ImageError(name, "the file is empty (0 bytes)")
            content.seek(0)
            with Image.open(without_large_texts(content), formats=formats) as image:
                yield image


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Whatever Pillow raises while the block runs is the image's fault."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise ImageError(name, "not a picture in a format that can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, MAX_PIXELS) from error
    except FileNotFoundError as error:
        raise ImageError(name, "no such file") from error
    except PermissionError as error:
        raise ImageError(name, "no permission to read it") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system, not of Pillow
            raise ImageError(name, error.strerror or str(error)) from error
        # For cut and corrupt files Pillow's decoders raise OSError, SyntaxError, TypeError,
        # struct.error ..., and warnings where these are errors.
        raise ImageError(name, f"cut or corrupt ({error})") from error


def _too_large(name: str, most: int) -> ImageError:
    return ImageError(name, f"more than {most:,} pixels; scale it down or cut it")


def _from_pil(image: Image.Image, name: str) -> Values:
    return _from_array(_pil_to_array(ImageOps.exif_transpose(image), name), name)


def _pil_to_array(image: Image.Image, name: str) -> npt.NDArray[Any]:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":
        # Some decoders widen 16-bit grey to 32-bit integers; nothing else arrives in this mode.
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise ImageError(name, "32-bit integers outside 0..65535; save it with 8 or 16 bits")
        return wide.astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)
    if image.mode == "P":
        image = image.convert("RGBA")  # straight to RGB, Pillow warns of transparency
    return np.asarray(image.convert("RGB"))


def _from_array(array: npt.NDArray[Any], name: str) -> Values:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(name, f"shape {array.shape} is no image; expected (H, W) or (H, W, 3)")
    array = array[:, :, :3]
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return array.astype(np.float32) / np.float32(65535)
    if array.dtype == bool:
        return array.astype(np.float32)
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(name, f"{array.dtype} values; expected uint8, uint16 or float in [0, 1]")
    if not np.isfinite(array).all():
        raise ImageError(name, "holds NaN or infinite values")
    if array.min() < 0 or array.max() > 1:
        raise ImageError(name, "float values must lie in [0, 1]; divide them by their maximum")
    return array.astype(np.float32)
