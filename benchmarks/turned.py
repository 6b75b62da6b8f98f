"""The same pictures, each turned by any angle and shifted by up to 8 %: parts that are not aligned.

``python -m benchmarks.turned DATA/mvtec_bottle OUT`` writes ``OUT/mvtec_bottle`` in MVTec layout,
pictures and masks turned alike, which every other command takes like the original. With
``--scale 0.42`` each becomes a small part, its side 0.42 of the frame's, at any place in the frame.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.placed import placed, placed_mask
from softpatch.datasets import Category, read_category

SHIFT = 0.08  # of a side
BORDER = 8  # rows at the top whose mean colour fills what the turn leaves empty


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("category", type=Path, help="a category in MVTec layout")
    parser.add_argument("output", type=Path, help="folder to write it to, turned")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, help="side of a part, as a share of the frame's")
    arguments = parser.parse_args()
    scale = arguments.scale
    if scale is not None and not 0 < scale <= 1:
        parser.error(f"--scale must lie in (0, 1], got {scale:g}")
    category = read_category(arguments.category)
    print(write(category, arguments.output / arguments.category.name, arguments.seed, scale))


def write(category: Category, output: Path, seed: int, scale: float | None = None) -> Path:
    """Write the category; picture i of seed s is turned by what ``random.Random(f"{s} {i}")`` says.

    Args:
        category: its pictures and masks are turned.
        output: its new folder.
        seed: of all turns.
        scale: of small parts at any place, see ``placed``; None shifts the picture as it is.

    Raises:
        FileExistsError: the folder is there already.
    """
    output.mkdir(parents=True)
    parts = [("train", sample) for sample in category.train]
    parts += [("test", sample) for sample in category.test]
    for index, (part, sample) in enumerate(parts):
        name = f"{index:04}"
        with Image.open(sample.path) as picture:
            original = picture.convert("RGB")
        turn = f"{seed} {index}"
        changed = turned(original, turn) if scale is None else placed(original, turn, scale)
        save(changed, output / part / sample.kind / f"{name}.png")
        if sample.masks:
            mask = np.zeros(original.size[::-1], dtype=np.uint8)
            for path in sample.masks:
                with Image.open(path) as one:
                    mask |= np.where(
                        np.asarray(one.convert("L")) > sample.mask_threshold, 255, 0
                    ).astype(np.uint8)
            place = output / "ground_truth" / sample.kind / f"{name}_mask.png"
            drawn = Image.fromarray(mask)
            moved = turned(drawn, turn) if scale is None else placed_mask(drawn, turn, scale)
            save(moved, place)
    return output


def turned(picture: Image.Image, turn: str) -> Image.Image:
    """An RGB picture, filled up with the colour at its top, or a mask, by the same turn."""
    draw = random.Random(turn)
    angle = draw.uniform(-180, 180)
    across, down = (round(draw.uniform(-SHIFT, SHIFT) * side) for side in picture.size)
    if picture.mode == "L":
        method, fill = Image.Resampling.NEAREST, (0,)
    else:
        top = np.asarray(picture)[:BORDER].reshape(-1, 3)
        method, fill = Image.Resampling.BICUBIC, tuple(top.mean(axis=0).round().astype(int))
    return picture.rotate(angle, method, translate=(across, down), fillcolor=fill)


def save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, compress_level=1)


if __name__ == "__main__":
    main()
