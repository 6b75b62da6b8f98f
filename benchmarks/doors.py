"""What becomes of a file of each kind, by path, in the service, the runtime and a browser.

Written as a page:

``python -m benchmarks.doors docs/seen.md``
"""

from __future__ import annotations

import argparse
import base64
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from softpatch.errors import ImageError
from softpatch.images.apart import Apart
from softpatch.runtime.images import decode, read_levels
from tests.auditing.browser import CHROMIUM, Browser
from tests.runtime.odd_files import FILES

HEAD = """\
# What is seen of a file

Made by `python -m benchmarks.doors docs/seen.md`; a test holds the table to what is read, with
the Pillow that is installed. *By path* is `fit`, `audit`, `predict` and `watch`; *by its bytes* a
URL and the service, which decodes in a process of its own; and there is `softpatch-runtime`.
Which values of more than 8 bits are black and white is in [pictures.md](pictures.md).

The last column is Chromium. It also shows colours as their profile says, which softpatch does not
look at, and 16 bits as 16, whatever a camera has of them. So reports of softpatch, and
the page of its service, show pictures that it has drawn itself. Where there is no Chromium, that
column stays as it was.

| file | what is seen of it | by path, by its bytes, in the runtime | in a browser |
|---|---|---|---|
"""
DRAWN = """
return [...document.images].map(image => {
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  if (!width) return [0, 0, []];
  const canvas = Object.assign(document.createElement("canvas"), {width, height});
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  return [width, height, [...context.getImageData(0, 0, width, height).data]];
});
"""
NEARLY = 3  # of 255
EQUAL, ROUNDED, REFUSED = "equal", "equal; the runtime rounds it to 8 bits", "refused alike"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="to write")
    page = parser.parse_args().page
    if CHROMIUM is None:
        print("no Chromium here: what is seen in a browser stays as it was")
        shown = recorded(page.read_text(encoding="utf-8")) if page.exists() else {}
    else:
        shown = in_browser()
    rows = [f"{row} {shown.get(row.split(' | ')[0], 'not looked at')} |" for row in table()]
    page.write_text(f"{HEAD}{chr(10).join(rows)}\n", encoding="utf-8")


def recorded(page: str) -> dict[str, str]:
    """The last column of a page, by the beginning of its row."""
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    return {row.split(" | ")[0]: row.rpartition(" | ")[2].removesuffix(" |") for row in rows}


def together(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of a table, one for files that differ in their orientation alone."""
    found = []
    for kind, some in groupby(rows, lambda row: re.sub(r"turned \d", "turned 1 to 8", row[0])):
        columns = zip(*(row[1:] for row in some), strict=True)
        found.append(" | ".join([f"| {kind}", *("; ".join(dict.fromkeys(one)) for one in columns)]))
    return [f"{row} |" for row in found]


def table() -> list[str]:
    """What softpatch and the runtime see of each file."""
    with tempfile.TemporaryDirectory() as folder, closing(Apart(1, seconds=60)) as apart:
        return together(
            (kind, *through(content(), Path(folder, "picture"), apart))
            for kind, content in FILES.items()
        )


def in_browser() -> dict[str, str]:
    """What Chromium shows of each file, by the beginning of its row."""
    contents = {kind: content() for kind, content in FILES.items()}
    images = "".join(f'<img src="{data_uri(content)}">' for content in contents.values())
    with tempfile.TemporaryDirectory() as folder:
        pixels = Browser(Path(folder, "browser")).run(f"<body>{images}</body>".encode(), DRAWN)
        rows = [
            (kind, shown(Path(folder, "picture"), content, *drawn))
            for (kind, content), drawn in zip(contents.items(), pixels, strict=True)
        ]
    return recorded("\n".join(together(rows)))


def data_uri(content: bytes) -> str:
    """A browser looks at the content, not at what it is called, but of SVG."""
    kind = "image/svg+xml" if b"<svg" in content else "image/png"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def shown(path: Path, content: bytes, width: int, height: int, drawn: list[int]) -> str:
    """What a browser has drawn, in words."""
    if not width:
        return "not shown"
    path.write_bytes(content)
    seen = result(lambda: read_levels(path).values)
    if isinstance(seen, str):
        return f"shown, {width} × {height}"
    pixels = np.array(drawn, dtype=np.int16).reshape(height, width, 4)
    colours, opaque = pixels[:, :, :3], pixels[:, :, 3] == 255
    if alike(colours, seen, opaque):
        return EQUAL if opaque.all() else f"{EQUAL} where it is opaque"
    with Image.open(path) as image:
        unturned = np.asarray(image.convert("RGB"))
    return "not turned" if alike(colours, unturned, opaque) else "otherwise"


def alike(one: Any, other: Any, where: Any) -> bool:
    """Whether two pictures are the same but for what decoders of JPEG may differ by."""
    return one.shape == other.shape and bool((abs(one - other)[where] <= NEARLY).all())


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
