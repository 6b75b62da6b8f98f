"""One image, a file or an array -> ``(3, H, W)``, whatever its format, colour mode or bit depth.

Values are float32 in [0, 1], or uint8 as decoded.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from softpatch.images.apart import Encoded
from softpatch.runtime.appearance import WHOLE, Appearance, Window
from softpatch.runtime.images import decode, file_size
from softpatch.runtime.intensity import FULL, Intensity


class Picture(NamedTuple):
    """An image as it was read.

    Attributes:
        image: ``(3, H, W)`` uint8, or float32 in [0, 1] where 8 bits do not hold it.
        size: (height, width) in the file, upright.
        remark: what is odd about its values; None if nothing is.
        deep: whether there they have more than 8 bits.
    """

    image: Tensor
    size: tuple[int, int]
    remark: str | None
    deep: bool

    def appearance(self, window: Window = WHOLE) -> Appearance:
        """What it looks like within a window."""
        return Appearance.of(self.image.permute(1, 2, 0).numpy(), self.size, self.deep, window)


def read_image(content: Any, name: str = "image", intensity: Intensity = FULL) -> Tensor:
    """Read one image.

    Args:
        content: a path, the bytes of a file of one of ``FORMATS``, a PIL image, an array
            ``(H, W)`` / ``(H, W, 1|3|4)`` of uint8, uint16 or float in [0, 1], a tensor
            ``(H, W)`` / ``(1|3|4, H, W)`` of the same dtypes, or a tuple whose first item is one
            of these (as many Datasets return), or a function without arguments that makes one.
        name: what errors call the image; a path is called by itself.
        intensity: which values of more than 8 bits are black and white.

    Returns:
        ``(3, H, W)`` float32 in [0, 1]. Grey is repeated over the channels, an alpha channel is
        dropped, EXIF rotation is applied.

    Raises:
        ImageError: unreadable, empty, animated, too large, or of an unknown shape or range.
    """
    return to_unit(decode_image(content, name, intensity))


def decode_image(content: Any, name: str = "image", intensity: Intensity = FULL) -> Tensor:
    """``read_image``, but 8-bit images stay ``(3, H, W)`` uint8.

    Resizing them so takes 1 ms where float32 takes 25 (900x900, one core), for a rounding of at
    most half a grey level.
    """
    return decode_reduced(content, name, None, intensity).image


def decode_reduced(
    content: Any, name: str, min_decode_side: int | None, intensity: Intensity = FULL
) -> Picture:
    """``decode_image``, but a large JPEG file is decoded at a fraction of its size.

    A photograph of 4,000 x 3,000 pixels takes a seventh of the time; scores of 20 of them changed
    by 0.1 % in the median and by 1.3 % at most (`python -m benchmarks.decoding`).
    ``min_decode_side`` is that of ``softpatch.runtime.images.decode``.
    """
    content = plain(content)
    if isinstance(content, Encoded):
        decoded = content.apart.decode(content.content, name, min_decode_side, intensity)
    else:
        decoded = decode(content, name, min_decode_side, intensity)
    # A copy where it would share memory: torch must not see arrays that are read-only.
    channels = torch.from_numpy(np.array(decoded.values, order="C"))
    image = channels.permute(2, 0, 1).expand(3, -1, -1)  # (H, W, C) -> (3, H, W)
    return Picture(image, *decoded[1:])


def plain(content: Any) -> Any:
    """What ``read_image`` takes as ``softpatch.runtime.images.decode`` takes it, or ``Encoded``."""
    if callable(content) and not isinstance(content, Tensor):
        content = content()
    if isinstance(content, tuple | list) and content:
        content = content[0]
    if isinstance(content, Tensor):
        # numpy has no bfloat16
        array = (content.float() if content.is_floating_point() else content).detach().cpu().numpy()
        content = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    return content


def image_size(content: Any, name: str) -> tuple[int, int]:
    """(height, width) of an image as ``read_image`` gives it; of a file only the header is read.

    Raises:
        ImageError: no image, or none that can be opened.
    """
    if isinstance(content, str | Path):
        return file_size(Path(content), str(content))
    if isinstance(content, bytes):
        return file_size(io.BytesIO(content), name)
    return decode_reduced(content, name, None).size


def to_unit(image: Tensor) -> Tensor:
    """A uint8 image as float32 in [0, 1]; others have these values already."""
    return image.float() / 255 if image.dtype == torch.uint8 else image
