"""What it costs to decode a picture in another process, as `softpatch serve` does with uploads."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from softpatch.images.apart import Apart
from softpatch.runtime.images import decode

TIMES = 300
PICTURES = (("PNG", 900), ("JPEG", 256))


def main() -> None:
    apart = Apart(1, 60)
    for kind, side in PICTURES:
        content = picture(kind, side)
        apart.decode(content, kind)
        here, there = [], []
        for _ in range(TIMES):
            here.append(seconds(partial(decode, content)))
            there.append(seconds(partial(apart.decode, content, "")))
        # The least, as whatever else the machine does adds to both.
        for quantile in (0, 0.25, 0.5):
            first, second = (1000 * float(np.quantile(each, quantile)) for each in (here, there))
            print(
                f"{kind} {side} x {side}, quantile {quantile}: {first:.2f} ms here, "
                f"{second:.2f} ms apart"
            )
    apart.close()


def picture(kind: str, side: int) -> bytes:
    """Smooth, with colours at random."""
    colours = np.random.default_rng(0).integers(0, 255, (side // 16, side // 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).resize((side, side)).save(buffer, kind)
    return buffer.getvalue()


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
