"""One image, a file or an array -> ``(3, H, W)``, whatever its format, colour mode or bit depth.

Values are float32 in [0, 1], or uint8 as decoded.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softpatch.images.apart import Encoded
from softpatch.runtime.images import decode, file_size


def read_image(content: Any, name: str = "image") -> Tensor:
    """Read one image.

    Args:
        content: a path, the bytes of a file of one of ``FORMATS``, a PIL image, an array
            ``(H, W)`` / ``(H, W, 1|3|4)`` of uint8, uint16 or float in [0, 1], a tensor
            ``(H, W)`` / ``(1|3|4, H, W)`` of the same dtypes, or a tuple whose first item is one
            of these (as many Datasets return), or a function without arguments that makes one.
        name: what errors call the image; a path is called by itself.

    Returns:
        ``(3, H, W)`` float32 in [0, 1]. Grey is repeated over the channels, an alpha channel is
        dropped, 16 bits are scaled by 1/65535, EXIF rotation is applied.

    Raises:
        ImageError: unreadable, empty, animated, too large, or of an unknown shape or range.
    """
    return to_unit(decode_image(content, name))


def decode_image(content: Any, name: str = "image") -> Tensor:
    """``read_image``, but 8-bit images stay ``(3, H, W)`` uint8.

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
    ``min_decode_side`` is that of ``softpatch.runtime.images.decode``.

    Returns:
        the image, and its (height, width) in the file.
    """
    if callable(content) and not isinstance(content, Tensor):
        content = content()
    if isinstance(content, tuple | list) and content:
        content = content[0]
    if isinstance(content, Tensor):
        # numpy has no bfloat16
        array = (content.float() if content.is_floating_point() else content).detach().cpu().numpy()
        content = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    if isinstance(content, Encoded):
        values, size = content.apart.decode(content.content, name, min_decode_side)
    else:
        values, size = decode(content, name, min_decode_side)
    # A copy where it would share memory: torch must not see arrays that are read-only.
    channels = torch.from_numpy(np.array(values, order="C"))
    return channels.permute(2, 0, 1).expand(3, -1, -1), size  # (H, W, C) -> (3, H, W)


def image_size(content: Any, name: str) -> tuple[int, int]:
    """(height, width) of an image as ``read_image`` gives it; of a file only the header is read.

    Raises:
        ImageError: no image, or none that can be opened.
    """
    if isinstance(content, str | Path):
        return file_size(Path(content), str(content))
    if isinstance(content, bytes):
        return file_size(io.BytesIO(content), name)
    return decode_reduced(content, name, None)[1]


def to_unit(image: Tensor) -> Tensor:
    """A uint8 image as float32 in [0, 1]; others have these values already."""
    return image.float() / 255 if image.dtype == torch.uint8 else image
