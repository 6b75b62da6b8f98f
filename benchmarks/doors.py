"""What becomes of a file of each kind, by path, in the service and in the runtime, as a page.

``python -m benchmarks.doors docs/seen.md``
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from softpatch.errors import ImageError
from softpatch.images.apart import Apart
from softpatch.runtime.images import decode, read_levels
from tests.runtime.odd_files import FILES

HEAD = """\
# What is seen of a file

Made by `python -m benchmarks.doors docs/seen.md`; a test holds the table to what is read, with
the Pillow that is installed. *By path* is `fit`, `audit`, `predict` and `watch`; *by its bytes* a
URL and the service, which decodes in a process of its own; and there is `softpatch-runtime`.
Which values of more than 8 bits are black and white is in [pictures.md](pictures.md). A browser
shows most of these as they are, but no TIFF, and colours as their profile says, which softpatch
does not look at.

| file | what is seen of it | by path, by its bytes, in the runtime |
|---|---|---|
"""
EQUAL, ROUNDED, REFUSED = "equal", "equal; the runtime rounds it to 8 bits", "refused alike"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="to write")
    page = parser.parse_args().page
    page.write_text(f"{HEAD}{chr(10).join(table())}\n", encoding="utf-8")


def table() -> list[str]:
    """The rows, one for files that differ in their orientation alone."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, closing(Apart(1, seconds=60)) as apart:
        for kind, content in FILES.items():
            rows.append((kind, *through(content(), Path(folder, "picture"), apart)))
    found = []
    for kind, some in groupby(rows, lambda row: re.sub(r"turned \d", "turned 1 to 8", row[0])):
        together = list(some)
        seen = dict.fromkeys(row[1] for row in together)
        same = dict.fromkeys(row[2] for row in together)
        found.append(f"| {kind} | {'; '.join(seen)} | {'; '.join(same)} |")
    return found


def through(content: bytes, path: Path, apart: Apart) -> tuple[str, str]:
    """What is seen of a file, and whether all see the same."""
    path.write_bytes(content)
    first, *others, levels = (
        result(read)
        for read in (
            lambda: decode(path).values,
            lambda: decode(content).values,
            lambda: apart.decode(content, "picture").values,
            lambda: read_levels(path).values,
        )
    )
    if isinstance(first, str):
        words = re.sub(r"cut or corrupt \(.*", "cut or corrupt", first)  # the rest is Pillow's
        alike = all(isinstance(one, str) and one == first for one in (*others, levels))
        return words.replace("|", "\\|"), REFUSED if alike else "DIFFERENT"
    height, width, channels = first.shape
    colour = "colour" if channels == 3 and (first != first[:, :, :1]).any() else "grey"
    deep = first.dtype != np.uint8
    rounded = np.rint(first * 255).astype(np.uint8) if deep else first
    equal = all(np.array_equal(one, first) for one in others)
    equal &= np.array_equal(levels, np.broadcast_to(rounded, levels.shape))
    depth = "more than 8 bits" if deep else "8 bits"
    same = ROUNDED if deep else EQUAL
    return f"{width} × {height}, {colour}, {depth}", same if equal else "DIFFERENT"


def result(read: Callable[[], Any]) -> Any:
    """What is read, or the words in which it is refused."""
    try:
        return read()
    except ImageError as error:
        return error.reason


if __name__ == "__main__":
    main()
