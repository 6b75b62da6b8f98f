"""Pictures as clients send them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.detectors.pictures import new_pictures

GOOD, DARK = new_pictures(5)[0], new_pictures(5)[-1]  # the second with a dark spot


def encoded(picture: npt.NDArray[np.uint8] = GOOD, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=kind, **options)
    return buffer.getvalue()


def sent(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """What ``post`` takes as ``files``."""
    return [("images", (f"{at}.png", content)) for at, content in enumerate(contents)]
