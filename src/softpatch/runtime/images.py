"""One image, a file or an array -> its values, whatever its format, colour mode or bit depth."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import (
    IMAGELENGTH,
    IMAGEWIDTH,
    PHOTOMETRIC_INTERPRETATION,
    TiffImageFile,
)

from .deep_colours import deep_values, is_deep
from .errors import ImageError, UsageError
from .files import open_ordinary
from .intensity import FULL, LARGEST, Intensity
from .png import without_large_texts
from .unread import why_misread, why_unread

# What is opened, whatever it is called, as Pillow names it: decoders of its own, since some of its
# plugins start outside programs.
FORMATS = (
    "PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF",
)  # fmt: skip
MAX_PIXELS = 64_000_000  # 8,000 x 8,000: one float32 copy is 768 MB; more may be a bomb
PIXELS_VARIABLE = "SOFTPATCH_MAX_PIXELS"  # of the environment, for larger pictures
WHITE_IS_ZERO = 0  # of a TIFF's PhotometricInterpretation
DAY = re.compile(r"(?!0000)([0-9]{4}):([0-9]{2}):([0-9]{2})\b")  # in EXIF
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height

Levels = npt.NDArray[np.uint8]
Values = Levels | npt.NDArray[np.float32]
V = TypeVar("V", bound=npt.NDArray[Any])


class Decoded(NamedTuple, Generic[V]):
    """An image as it was read.

    Attributes:
        values: ``(H, W, 1|3)`` uint8, or float32 in [0, 1] where 8 bits do not hold them.
        size: (height, width) in the file, upright.
        remark: what is odd about its values; None if nothing is.
        deep: whether there they have more than 8 bits.
    """

    values: V
    size: tuple[int, int]
    remark: str | None
    deep: bool


def decode(
    content: Any,
    name: str = "image",
    min_decode_side: int | None = None,
    intensity: Intensity = FULL,
) -> Decoded[Values]:
    """Read one image.

    Args:
        content: a path, the bytes of a file of one of ``FORMATS``, a PIL image, or an array
            ``(H, W)`` / ``(H, W, 1|3|4)`` of uint8, uint16, bool or float in [0, 1].
        name: what errors call it; a path is called by itself.
        min_decode_side: pixels that no side of the result needs to exceed; a JPEG file is decoded
            at a half, a quarter or an eighth of its size if both sides stay as long. None decodes
            all.
        intensity: which values of more than 8 bits are black and white.

    Returns:
        its values and size. An alpha channel is dropped, EXIF rotation is applied. The values may
        share memory with ``content``.

    Raises:
        ImageError: unreadable, empty, animated, too large, or of an unknown shape or range.
    """
    array, size = _stored(content, name, min_decode_side)
    if array.dtype == np.uint16:
        values, remark = intensity.apply(array)
        return Decoded(values, size, remark, deep=True)
    values = array if array.dtype == np.uint8 else array.astype(np.float32)
    return Decoded(values, size, None, deep=False)


def set_bits(content: Any, name: str = "image") -> int:
    """The bits that any value of an image of more than 8 bits has, or-ed; 0 of other images.

    Of files of 8 bits the header alone is read. Takes and raises what ``decode`` does.
    """
    if isinstance(content, str | Path | bytes):
        file = io.BytesIO(content) if isinstance(content, bytes) else Path(content)
        with _opened(file, name if isinstance(content, bytes) else str(content)) as image:
            if not image.mode.startswith("I") and not is_deep(image):
                return 0
    array, _ = _stored(content, name, None)
    return int(np.bitwise_or.reduce(array, axis=None)) if array.dtype == np.uint16 else 0


def _stored(
    content: Any, name: str, min_decode_side: int | None
) -> tuple[npt.NDArray[Any], tuple[int, int]]:
    """``(H, W, 1|3)`` uint8, uint16, bool or float in [0, 1], and the size in the file."""
    if isinstance(content, str | Path):
        return _from_file(Path(content), str(content), min_decode_side)
    if isinstance(content, bytes):
        return _from_file(io.BytesIO(content), name, min_decode_side)
    if isinstance(content, Image.Image):
        with _decoding(name):
            array = _values(content, name)
    elif isinstance(content, np.ndarray):
        array = _checked(content, name)
    else:
        raise ImageError(name, f"a {type(content).__name__} is no image")
    return array, (array.shape[0], array.shape[1])


def read_layers(content: Any, name: str = "image") -> npt.NDArray[Any]:
    """An image with all that is in it: ``(H, W, C)`` of any numbers, alpha the last of 2 or 4.

    Takes what ``decode`` takes. Of a palette whose colours are all one, its indices.

    Raises:
        ImageError: unreadable, empty, animated, too large, or of an unknown shape.
    """
    if isinstance(content, str | Path | bytes):
        file = io.BytesIO(content) if isinstance(content, bytes) else Path(content)
        name = name if isinstance(content, bytes) else str(content)
        with _opened(file, name) as image:
            _check_extent(image, name)
            return read_layers(image, name)
    if isinstance(content, Image.Image):
        with _decoding(name):
            layers = _layers(ImageOps.exif_transpose(content))
        content = LARGEST - layers if _is_negative(content) else layers
    if not isinstance(content, np.ndarray):
        raise ImageError(name, f"a {type(content).__name__} is no image")
    return _with_channels(content, name)


def _layers(image: Image.Image) -> npt.NDArray[Any]:
    if image.mode in ("1", "I", "F", "LA", "RGBA") or image.mode.startswith("I;16"):
        return np.asarray(image)
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return np.asarray(image)
    colours = np.asarray(image.convert("RGBA"))
    if image.mode == "P" and (colours == colours[:1, :1]).all():
        return np.asarray(image)
    return colours


def read_levels(
    content: Any,
    name: str = "image",
    min_decode_side: int | None = None,
    intensity: Intensity = FULL,
) -> Decoded[Levels]:
    """``decode`` as an exported model takes it: ``(H, W, 3)``, rounded to 8 bits."""
    decoded = decode(content, name, min_decode_side, intensity)
    values = decoded.values
    if values.dtype != np.uint8:
        values = np.rint(values * 255).astype(np.uint8)
    levels = np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))
    return Decoded(levels, *decoded[1:])


def check_header(content: bytes, name: str, most: int) -> int:
    """The pixels of a file, undecoded; ImageError if it is no image or has more than ``most``."""
    with _opened(io.BytesIO(content), name) as image:
        if image.width * image.height > most:
            raise _too_large(name, most)
        return image.width * image.height


def most_pixels() -> int:
    """Most pixels of a picture: ``MAX_PIXELS``, or what ``SOFTPATCH_MAX_PIXELS`` says.

    Raises:
        UsageError: that is no number of at least 1.
    """
    given = os.environ.get(PIXELS_VARIABLE)
    if given is None:
        return MAX_PIXELS
    if not given.isdecimal() or int(given) < 1:
        raise UsageError(f"{PIXELS_VARIABLE} takes a number of pixels, at least 1, got {given!r}")
    if Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit must not be lower
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, int(given))
    return int(given)


@contextmanager
def allowing(pixels: int | None) -> Iterator[None]:
    """Pictures of so many pixels while the block runs, in processes that it starts, too.

    Raises:
        UsageError: ``SOFTPATCH_MAX_PIXELS``, which counts with None, is no number of at least 1.
    """
    before = os.environ.get(PIXELS_VARIABLE)
    try:
        if pixels is not None:
            os.environ[PIXELS_VARIABLE] = str(pixels)
        most_pixels()
        yield
    finally:
        os.environ.pop(PIXELS_VARIABLE, None)
        if before is not None:
            os.environ[PIXELS_VARIABLE] = before


def file_size(file: Path | io.BytesIO, name: str) -> tuple[int, int]:
    """(height, width) of an image file as ``decode`` gives it, from its header.

    Raises:
        ImageError: unreadable, or no image.
    """
    with _opened(file, name) as image:
        return _upright(image)


def _from_file(
    file: Path | io.BytesIO, name: str, min_decode_side: int | None
) -> tuple[npt.NDArray[Any], tuple[int, int]]:
    with _opened(file, name) as image:
        _check_extent(image, name)
        if is_deep(image):
            array: npt.NDArray[Any] = deep_values(image)
            return array, (array.shape[0], array.shape[1])
        size = _upright(image)  # of a PNG file, that decodes it
        if min_decode_side is not None and image.format == "JPEG":
            image.draft(image.mode, (min_decode_side, min_decode_side))
        return _values(image, name), size


def _values(image: Image.Image, name: str) -> npt.NDArray[Any]:
    """Upright: ``(H, W, 1|3)`` uint8, uint16, bool or float in [0, 1]."""
    array = _checked(_pil_to_array(ImageOps.exif_transpose(image), name), name)
    return LARGEST - array if _is_negative(image) else array


def _is_negative(image: Image.Image) -> bool:
    """Whether it is a TIFF of 16 bits whose zero is white; those of 8 Pillow turns round itself."""
    if not image.mode.startswith("I;16") or not isinstance(image, TiffImageFile):
        return False
    return bool(image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO)


def _upright(image: Image.Image) -> tuple[int, int]:
    """(height, width) as EXIF wants it shown."""
    width, height = image.size
    if isinstance(image, TiffImageFile):  # which some versions of Pillow have turned already
        width, height = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
    turned = image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
    return (width, height) if turned else (height, width)


def file_mode(file: Path | io.BytesIO, name: str) -> str:
    """Pillow's colour mode of an image file, from its header.

    Raises:
        ImageError: unreadable, or no image.
    """
    with _opened(file, name) as image:
        return str(image.mode)


def file_day(file: Path | io.BytesIO, name: str) -> str | None:
    """The day on which the camera says that it took an image file, as ``YYYY-MM-DD``.

    None where it does not say, as in files without EXIF, or with a clock that was never set.

    Raises:
        ImageError: unreadable, or no image.
    """
    with _opened(file, name) as image:
        taken = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
    found = DAY.match(str(taken))
    return "-".join(found.groups()) if found else None


@contextmanager
def _opened(file: Path | io.BytesIO, name: str) -> Iterator[Image.Image]:
    """The image with its header read."""
    with _decoding(name), _content(file) as content:
        if not content.read(1):
            raise ImageError(name, "the file is empty (0 bytes)")
        content.seek(0)
        most_pixels()  # lets Pillow open what it would take for a bomb
        with _image(without_large_texts(content), name) as image:
            yield image


def _image(content: BinaryIO, name: str) -> Image.Image:
    """What Pillow makes of it; of a JPEG file its first picture, which is the photograph.

    Cameras and phones put previews, gain maps and other views behind it (MPO).
    """
    jpeg = content.read(3) == b"\xff\xd8\xff"
    content.seek(0)
    try:
        return JpegImageFile(content) if jpeg else Image.open(content, formats=_formats())
    except UnidentifiedImageError as error:
        raise ImageError(name, why_unread(content, name)) from error


def _content(file: Path | io.BytesIO) -> BinaryIO:
    """What Pillow reads: never a path, which it might open once more, or map into memory."""
    return open_ordinary(file) if isinstance(file, Path) else file


@cache
def _formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that this Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _check_extent(image: Image.Image, name: str) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise ImageError(name, f"animated or multi-page ({frames} frames); save one frame")
    if (reason := why_misread(image)) is not None:
        raise ImageError(name, reason)
    if image.width * image.height > most_pixels():
        raise _beyond_limit(name)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Whatever Pillow raises while the block runs is the image's fault."""
    try:
        yield
    except (ImageError, UsageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _beyond_limit(name) from error
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


def _beyond_limit(name: str) -> ImageError:
    hint = f"scale it down, cut it, or allow more: --max-pixels, or {PIXELS_VARIABLE}"
    return ImageError(name, f"more than {most_pixels():,} pixels; {hint}")


def _too_large(name: str, most: int) -> ImageError:
    return ImageError(name, f"more than {most:,} pixels; scale it down or cut it")


def _pil_to_array(image: Image.Image, name: str) -> npt.NDArray[Any]:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":
        # Some decoders widen 16-bit grey to it; signed values and those of 32 bits arrive so, too.
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > LARGEST:
            reason = f"has values outside 0..{LARGEST}; save it with 8 or 16 bits, unsigned"
            raise ImageError(name, reason)
        return wide.astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)
    if image.mode == "P":
        image = image.convert("RGBA")  # straight to RGB, Pillow warns of transparency
    return np.asarray(image.convert("RGB"))


def _checked(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """``(H, W, 1|3)`` uint8, uint16, bool or float in [0, 1]; other arrays are refused."""
    array = _with_channels(array, name)
    if array.shape[2] == 2:
        raise ImageError(name, f"shape {array.shape} is no image; expected (H, W) or (H, W, 3)")
    array = array[:, :, :3]
    if array.dtype in (np.uint8, np.uint16, bool):
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(name, f"{array.dtype} values; expected uint8, uint16 or float in [0, 1]")
    if not np.isfinite(array).all():
        raise ImageError(name, "holds NaN or infinite values")
    if array.min() < 0 or array.max() > 1:
        raise ImageError(name, "float values must lie in [0, 1]; divide them by their maximum")
    return array


def _with_channels(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """``(H, W, C)`` in the machine's byte order."""
    if isinstance(array, np.ma.MaskedArray):  # what lies under the mask would be scored, or not
        raise ImageError(name, "a masked array is no image; give its data, or filled()")
    whole = array[:, :, None] if array.ndim == 2 else array
    if whole.ndim != 3 or whole.shape[2] not in (1, 2, 3, 4) or 0 in whole.shape:
        raise ImageError(name, f"shape {whole.shape} is no image; expected (H, W) or (H, W, 3)")
    return whole.astype(whole.dtype.newbyteorder("="), copy=False)
