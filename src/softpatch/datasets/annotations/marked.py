"""What a file of an annotation tool marks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from softpatch.datasets.annotations.shapes import Draw


@dataclass(frozen=True, eq=False)
class Marked:
    """What is marked of one picture.

    Attributes:
        places: where the picture is by what the tool says, most likely first; relative ones are
            looked for from the file's folder.
        size: (height, width) of the picture, as the tool knows it; None where it does not say.
        shapes: draw one each.
    """

    places: tuple[str, ...]
    size: tuple[int, int] | None
    shapes: tuple[Draw, ...]


@dataclass(frozen=True, eq=False)
class Export:
    """A file.

    Attributes:
        path: of it.
        pictures: that it knows; none if it is of no tool.
        unread: why not, for a form of a tool that is not read.
        broken: it is neither JSON nor XML, so nobody can tell what it is.
        unclear: names of what is marked of one of several pictures, nobody can tell which.
    """

    path: Path
    pictures: tuple[Marked, ...] = ()
    unread: str = ""
    broken: bool = False
    unclear: tuple[str, ...] = ()
