"""An image that will be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ImageSource:
    """One image that has not been read yet."""

    name: str  # the path as given, or ``image <index>`` for in-memory images
    content: Any  # anything ``read_image`` takes
