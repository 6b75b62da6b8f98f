"""The same pictures, each turned by any angle and shifted by up to 8 %: parts that are not aligned.

``python -m benchmarks.turned DATA/mvtec_bottle OUT`` writes ``OUT/mvtec_bottle`` in MVTec layout,
pictures and masks turned alike, which every other command takes like the original.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from PIL import Image

from softpatch.datasets import Category, read_category

SHIFT = 0.08  # of a side
BORDER = 8  # rows at the top whose mean colour fills what the turn leaves empty


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("category", type=Path, help="a category in any layout that is read")
    parser.add_argument("output", type=Path, help="folder to write it to, turned")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    category = read_category(arguments.category)
    print(write(category, arguments.output / arguments.category.name, arguments.seed))


def write(category: Category, output: Path, seed: int) -> Path:
    """Write the category; picture i of seed s is turned by what ``random.Random(f"{s} {i}")`` says.

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
        fill = tuple(np.asarray(original)[:BORDER].reshape(-1, 3).mean(axis=0).round().astype(int))
        turn = f"{seed} {index}"
        save(turned(original, turn, fill), output / part / sample.kind / f"{name}.png")
        if sample.masks:
            mask = np.zeros(original.size[::-1], dtype=np.uint8)
            for path in sample.masks:
                with Image.open(path) as one:
                    mask |= np.where(
                        np.asarray(one.convert("L")) > sample.mask_threshold, 255, 0
                    ).astype(np.uint8)
            place = output / "ground_truth" / sample.kind / f"{name}_mask.png"
            save(turned(Image.fromarray(mask), turn, None), place)
    return output


def turned(picture: Image.Image, turn: str, fill: tuple[int, ...] | None) -> Image.Image:
    """A picture with a fill, or a mask without one, by the same turn."""
    draw = random.Random(turn)
    angle = draw.uniform(-180, 180)
    across, down = (round(draw.uniform(-SHIFT, SHIFT) * side) for side in picture.size)
    method = Image.Resampling.NEAREST if fill is None else Image.Resampling.BICUBIC
    return picture.rotate(angle, method, translate=(across, down), fillcolor=fill or 0)


def save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, compress_level=1)


if __name__ == "__main__":
    main()
