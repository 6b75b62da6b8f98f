"""What softpatch has made or put away itself, and what is therefore nobody's picture.

It is known by a mark of its own, wherever it lies.
"""

from __future__ import annotations

import os
from pathlib import Path

from .files import open_ordinary

MADE_BY = ("Software", "softpatch")  # a text in every drawing, in front of its pixels
QUARANTINE = "softpatch-quarantine.json"  # the journal in a folder that softpatch clean moves to
HEAD = 256  # bytes of a drawing that hold the text


def is_drawing(path: Path) -> bool:
    """Whether a file is a heat map or a mask that softpatch has drawn."""
    if path.suffix.lower() != ".png":
        return False
    try:
        with open_ordinary(path) as file:
            return "\0".join(MADE_BY).encode() in file.read(HEAD)
    except OSError:  # told by who reads it as a picture
        return False


def is_quarantine(folder: Path) -> bool:
    """Whether a folder holds what softpatch clean has put away."""
    return os.path.isfile(folder / QUARANTINE)  # noqa: PTH113  # False where it may not be entered
