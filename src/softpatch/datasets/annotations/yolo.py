"""Labels of YOLO: a text file a picture, with boxes or outlines as shares of its sides."""

from __future__ import annotations

from collections.abc import Sequence

SUFFIX = ".txt"
UNREAD = "labels of YOLO are not read: export them as COCO"
CORNERS = 4  # numbers of a box; an outline has more


def is_yolo(content: bytes) -> bool:
    """Whether each line has a class and shares, and there is one."""
    lines = [line.split() for line in content.splitlines() if line.strip()]
    return bool(lines) and all(map(_is_shape, lines))


def _is_shape(words: Sequence[bytes]) -> bool:
    kind, *shares = words
    try:
        return kind.isdigit() and len(shares) >= CORNERS and all(map(_is_share, shares))
    except ValueError:
        return False


def _is_share(word: bytes) -> bool:
    return 0 <= float(word) <= 1
