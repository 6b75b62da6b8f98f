"""On which day photographs were taken, as their cameras say in EXIF.

Times of files tell nothing: whoever copies a folder sets them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from softpatch.images.image_source import ImageSource
from softpatch.runtime.errors import ImageError
from softpatch.runtime.images import file_day


def one_day(pictures: Iterable[Path | ImageSource]) -> str | None:
    """The day on which all of these were taken; None if not on one, or if one does not tell.

    Those that cannot be read do not count. What is not on this disk does not tell.
    """
    found = None
    for picture in pictures:
        if not isinstance(picture, Path):
            return None
        try:
            day = file_day(picture, str(picture))
        except ImageError:
            continue
        if day is None or found not in (None, day):
            return None
        found = day
    return found
