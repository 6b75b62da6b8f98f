"""A picture as softpatch sees it, for people: browsers show some files otherwise, or not at all."""

from __future__ import annotations

import io

from PIL import Image

from softpatch.runtime.heatmap import LONGEST_SIDE
from softpatch.runtime.images import read_levels
from softpatch.runtime.intensity import FULL, Intensity

QUALITY = 90  # of the JPEG


def seen_as_jpeg(content: bytes, name: str = "image", intensity: Intensity = FULL) -> bytes:
    """An image file as a JPEG file of its shape, at most ``LONGEST_SIDE`` pixels long.

    Takes and raises what ``softpatch.runtime.images.decode`` does, of files.
    """
    levels, *_ = read_levels(content, name, LONGEST_SIDE, intensity)
    image = Image.fromarray(levels)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getvalue()
