"""Files that something has happened to."""

from __future__ import annotations

import random

PAGE = 4096
HEAD = 4096  # bytes of a file's beginning, where what matters most is


def mutated(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """What has happened, and the file: never the same as before."""
    while True:
        kind = draw.choice(("flipped bits", "zeroed page", "cut", "swapped bytes"))
        changed = _change(kind, bytearray(content), draw)
        if changed != content:
            return kind, bytes(changed)


def _change(kind: str, content: bytearray, draw: random.Random) -> bytearray:
    within = min(len(content), draw.choice((HEAD, len(content))))
    at = draw.randrange(within)
    if kind == "flipped bits":
        for _ in range(draw.choice((1, 1, 2, 8))):
            content[draw.randrange(within)] ^= 1 << draw.randrange(8)
    elif kind == "zeroed page":
        start = at - at % PAGE
        end = min(start + PAGE, len(content))
        content[start:end] = bytes(end - start)
    elif kind == "cut":
        del content[at:]
    else:
        length = draw.choice((1, 4, 64, 1024))
        other = draw.randrange(len(content))
        first, second = sorted((at, other))
        length = min(length, second - first, len(content) - second)
        one, two = content[first : first + length], content[second : second + length]
        content[first : first + length], content[second : second + length] = two, one
    return content
