"""Made-up photographs of one part: alike in shape, each with a grain of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def part(seed: int, side: int = 160) -> npt.NDArray[np.uint8]:
    """``(side, side, 3)``: a disc on a grey ground, in fixed light, with surface structure."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    disc = np.clip((0.35 - np.hypot(rows, columns)) * side / 3, 0, 1)
    coarse = Image.fromarray(random.integers(0, 255, (side // 8, side // 8)).astype(np.uint8))
    blotches = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)) / 255 - 0.5
    fine = random.normal(0, 1, (side, side))
    grey = 170 - disc * (80 + 30 * blotches + 6 * fine) + 3 * fine
    return np.repeat(grey[:, :, None], 3, axis=2).clip(0, 255).astype(np.uint8)


def parts(folder: Path, count: int = 20) -> list[Path]:
    """Write that many, as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(part(number)).save(path)
    return paths
