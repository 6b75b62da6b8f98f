"""One picture, a file or an array -> ``(3, H, W)``, whatever its format, colour mode or bit depth.

Values are float32 in [0, 1], or uint8 as decoded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from softpatch.compute.files import EXTENSIONS as EXTENSIONS  # without torch
from softpatch.errors import ImageError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # EXTENSIONS, as Pillow calls them
MAX_PIXELS = 64_000_000  # 8,000 x 8,000: one float32 copy is 768 MB; more is a decompression bomb
ON_THEIR_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height


def read_image(content: Any, name: str = "image") -> Tensor:
    """Read one picture.

    Args:
        content: a path, the bytes of a file of one of ``FORMATS``, a PIL image, an array
            ``(H, W)`` / ``(H, W, 1|3|4)`` of uint8, uint16 or float in [0, 1], a tensor
            ``(H, W)`` / ``(1|3|4, H, W)`` of the same dtypes, or a tuple whose first item is one
            of these (as many Datasets return), or a function without arguments that makes one.
        name: how errors call the picture.

    Returns:
        ``(3, H, W)`` float32 in [0, 1]. Grey is repeated over the channels, an alpha channel is
        dropped, 16 bits are scaled by 1/65535, EXIF rotation is applied.

    Raises:
        ImageError: unreadable, empty, animated, too large, or of an unknown shape or range.
    """
    return to_unit(decode_image(content, name))


def decode_image(content: Any, name: str = "image") -> Tensor:
    """``read_image``, but 8-bit pictures stay ``(3, H, W)`` uint8.

    Resizing them so takes 1 ms where float32 takes 25 (900x900, one core), for a rounding of at
    most half a grey level.
    """
    return decode_reduced(content, name, None)[0]


def decode_reduced(
    content: Any, name: str, min_decode_side: int | None
) -> tuple[Tensor, tuple[int, int]]:
    """``decode_image``, but a large JPEG file is decoded at a fraction of its size.

    A photograph of 4,000 x 3,000 pixels takes a seventh of the time; scores of 20 of them changed
    by 0.1 % in the median and by 1.3 % at most (`python -m benchmarks.decoding`).

    Args:
        content: see ``read_image``.
        name: see ``read_image``.
        min_decode_side: pixels that no side of the result needs to exceed; a JPEG file is decoded
            at a half, a quarter or an eighth of its size if both sides stay as long. None decodes
            all.

    Returns:
        the picture, and its (height, width) in the file.
    """
    if callable(content) and not isinstance(content, Tensor):
        content = content()
    if isinstance(content, tuple | list) and content:
        content = content[0]
    if isinstance(content, str | Path):
        return _from_file(Path(content), str(content), min_decode_side)
    if isinstance(content, bytes):
        return _from_file(io.BytesIO(content), name, min_decode_side)
    if isinstance(content, Image.Image):
        with _decoding(name):
            picture = _from_pil(content, name)
    elif isinstance(content, Tensor):
        # numpy has no bfloat16
        array = (content.float() if content.is_floating_point() else content).detach().cpu().numpy()
        picture = _from_array(np.moveaxis(array, 0, -1) if array.ndim == 3 else array, name)
    elif isinstance(content, np.ndarray):
        picture = _from_array(content, name)
    else:
        raise ImageError(name, f"a {type(content).__name__} is no image")
    return picture, (picture.shape[1], picture.shape[2])


def check_header(content: bytes, name: str, most: int) -> None:
    """Refuse a file that is no picture or too large a one, without decoding it.

    Args:
        content: the file's bytes.
        name: how errors call it.
        most: pixels it may have.

    Raises:
        ImageError: as said.
    """
    with _opened(io.BytesIO(content), name) as image:
        if image.width * image.height > most:
            raise _too_large(name, most)


def to_unit(picture: Tensor) -> Tensor:
    """uint8 pictures as float32 in [0, 1]; others are so already."""
    return picture.float() / 255 if picture.dtype == torch.uint8 else picture


def _from_file(
    file: Path | io.BytesIO, name: str, min_decode_side: int | None
) -> tuple[Tensor, tuple[int, int]]:
    with _opened(file, name) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise ImageError(name, f"animated or multi-page ({frames} frames); save one frame")
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise _too_large(name, MAX_PIXELS)
        if min_decode_side is not None and image.format == "JPEG":
            image.draft(image.mode, (min_decode_side, min_decode_side))
        picture = _from_pil(image, name)
        turned = image.getexif().get(ExifTags.Base.Orientation) in ON_THEIR_SIDE
        return picture, (width, height) if turned else (height, width)


@contextmanager
def _opened(file: Path | io.BytesIO, name: str) -> Iterator[Image.Image]:
    """The picture with its header read."""
    with _decoding(name):
        if isinstance(file, Path):
            empty, formats = file.stat().st_size == 0, None
        else:
            # Of the formats nobody sends, some have other programs decode them.
            empty, formats = not file.getbuffer().nbytes, FORMATS
        if empty:
            raise ImageError(name, "the file is empty (0 bytes)")
        with Image.open(file, formats=formats) as image:
            yield image


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
        raise _too_large(name, MAX_PIXELS) from error
    except FileNotFoundError as error:
        raise ImageError(name, "no such file") from error
    except PermissionError as error:
        raise ImageError(name, "no permission to read it") from error
    except Exception as error:
        # For cut and corrupt files Pillow's decoders raise OSError, SyntaxError, TypeError,
        # struct.error ..., and warnings where these are errors.
        raise ImageError(name, f"cut or corrupt ({error})") from error


def _too_large(name: str, most: int) -> ImageError:
    return ImageError(name, f"more than {most:,} pixels; scale it down or cut it")


def _from_pil(image: Image.Image, name: str) -> Tensor:
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


def _from_array(array: npt.NDArray[Any], name: str) -> Tensor:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(name, f"shape {array.shape} is no image; expected (H, W) or (H, W, 3)")
    array = array[:, :, :3]
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.uint8:
        values = array
    elif array.dtype == np.uint16:
        values = array.astype(np.float32) / 65535
    elif array.dtype == bool:
        values = array.astype(np.float32)
    elif np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise ImageError(name, "holds NaN or infinite values")
        if array.min() < 0 or array.max() > 1:
            raise ImageError(name, "float values must lie in [0, 1]; divide them by their maximum")
        values = array.astype(np.float32)
    else:
        raise ImageError(name, f"{array.dtype} values; expected uint8, uint16 or float in [0, 1]")
    # A copy where it would share memory: torch must not see arrays that are read-only.
    channels = torch.from_numpy(np.array(values, order="C"))
    return channels.permute(2, 0, 1).expand(3, -1, -1)  # (H, W, C) -> (3, H, W)
