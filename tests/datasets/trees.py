"""Small trees in each data set's published layout: names as published, pictures of 8x6 pixels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

SIZE = (6, 8)  # height, width


def picture(path: Path) -> None:
    """A picture that is no other path's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(crc32(str(path).encode())).integers(0, 256, (*SIZE, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def mask(path: Path, value: int = 255) -> None:
    """A mask whose top left corner has ``value``; 0 leaves it blank."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(SIZE, np.uint8)
    pixels[:2, :3] = value
    Image.fromarray(pixels).save(path)


def fill(root: Path, pictures: Iterable[str] = (), masks: Iterable[str] = ()) -> Path:
    """Write pictures and masks at these paths below ``root``, and return it."""
    for name in pictures:
        picture(root / name)
    for name in masks:
        mask(root / name)
    return root


def some(pattern: str, count: int) -> list[str]:
    """``pattern`` with each number from 0."""
    return [pattern.format(index) for index in range(count)]


def mvtec(root: Path, *categories: str) -> Path:
    for name in categories:
        fill(
            root / name,
            [
                *some("train/good/{:03d}.png", 4), *some("test/good/{:03d}.png", 2),
                *some("test/broken/{:03d}.png", 3), *some("test/dirt/{:03d}.png", 1),
            ],
            [
                *some("ground_truth/broken/{:03d}_mask.png", 3),
                "ground_truth/dirt/000_mask.png",
            ],
        )  # fmt: skip
        (root / name / "readme.txt").write_text("about")
    return root


def btad(root: Path) -> Path:
    """Product 1 has bmp pictures and png masks, 2 png and png, 3 bmp and bmp, as published."""
    for name, kind, truth in (("01", "bmp", "png"), ("02", "png", "png"), ("03", "bmp", "bmp")):
        fill(
            root / name,
            [
                *some(f"train/ok/{{:04d}}.{kind}", 4), *some(f"test/ok/{{:04d}}.{kind}", 2),
                *some(f"test/ko/{{:04d}}.{kind}", 3),
            ],
            some(f"ground_truth/ko/{{:04d}}.{truth}", 3),
        )  # fmt: skip
    return root


VISA_HEADER = "object,split,label,image,mask"


def visa(root: Path, *objects: str) -> Path:
    rows = [VISA_HEADER]
    for name in objects:
        normal, anomaly = f"{name}/Data/Images/Normal", f"{name}/Data/Images/Anomaly"
        fill(root, [*some(normal + "/{:04d}.JPG", 6), *some(anomaly + "/{:03d}.JPG", 2)])
        for index in range(2):
            mask(root / name / "Data/Masks/Anomaly" / f"{index:03d}.png", value=index + 1)
        # The published table is shuffled.
        rows += [f"{name},train,normal,{normal}/{index:04d}.JPG," for index in (4, 0, 2, 1)]
        rows += [f"{name},test,normal,{normal}/{index:04d}.JPG," for index in (5, 3)]
        rows += [
            f"{name},test,anomaly,{anomaly}/{index:03d}.JPG,"
            f"{name}/Data/Masks/Anomaly/{index:03d}.png"
            for index in (1, 0)
        ]
        (root / name / "image_anno.csv").write_text("image,label,mask\n")
    table = root / "split_csv" / "1cls.csv"
    table.parent.mkdir(parents=True)
    table.write_text("\n".join(rows) + "\n")
    return root


def mvtec_loco(root: Path, *categories: str) -> Path:
    for name in categories:
        folder = fill(
            root / name,
            [
                *some("train/good/{:03d}.png", 4), *some("validation/good/{:03d}.png", 2),
                *some("test/good/{:03d}.png", 2), *some("test/logical_anomalies/{:03d}.png", 2),
                *some("test/structural_anomalies/{:03d}.png", 2),
            ],
            some("ground_truth/structural_anomalies/{:03d}/000.png", 2),
        )  # fmt: skip
        for index in range(2):
            for number, value in enumerate((255, 3)[: index + 1]):
                truth = folder / "ground_truth/logical_anomalies"
                mask(truth / f"{index:03d}" / f"{number:03d}.png", value)
        (folder / "defects_config.json").write_text("[]")
    return root


def mvtec_3d(root: Path, *categories: str) -> Path:
    for name in categories:
        kinds = {"train/good": 4, "validation/good": 2, "test/good": 2, "test/hole": 3}
        for kind, count in kinds.items():
            for index in range(count):
                picture(root / name / kind / "rgb" / f"{index:03d}.png")
                picture(root / name / kind / "xyz" / f"{index:03d}.tiff")
                truth = root / name / kind / "gt" / f"{index:03d}.png"
                if kind.startswith("test"):
                    mask(truth, value=0 if kind == "test/good" else 255)
    return root


def kolektor(root: Path, items: int = 10) -> Path:
    """Part 1 of every third item is defective."""
    for item in range(1, items + 1):
        for part in range(3):
            picture(root / f"kos{item:02d}" / f"Part{part}.jpg")
            defective = part == 1 and item % 3 == 0
            mask(root / f"kos{item:02d}" / f"Part{part}_label.bmp", value=255 * defective)
    return root


MAGNETIC_TILE_KINDS = {"Blowhole": 2, "Break": 1, "Crack": 2, "Fray": 1, "Uneven": 1}


def magnetic_tile(root: Path) -> Path:
    for kind, count in {"Free": 10, **MAGNETIC_TILE_KINDS}.items():
        for index in range(count):
            stem = f"exp{1 + index % 6}_num_{100 + index}"
            picture(root / f"MT_{kind}" / "Imgs" / f"{stem}.jpg")
            mask(root / f"MT_{kind}" / "Imgs" / f"{stem}.png", value=0 if kind == "Free" else 255)
    (root / "README.md").write_text("about")
    return root


ELPV_ROW = "images/cell{:04}.png  {:<20}{}\n"


def elpv(root: Path) -> Path:
    """Ten good cells of each kind of module, two defective ones, one likely so and one unlikely."""
    rows: list[str] = []
    for module in ("mono", "poly"):
        for third in (3, 0, 0, 1, 0, 0, 0, 2, 0, 0, 3, 0, 0, 0):
            number = len(rows) + 1
            rows.append(ELPV_ROW.format(number, third / 3, module))
            picture(root / "images" / f"cell{number:04}.png")
    (root / "labels.csv").write_text("".join(rows))
    return root


def folder(root: Path) -> Path:
    return fill(
        root,
        [
            *some("good/{}.jpeg", 10), *some("scratch/{}.PNG", 2), "dent/a.webp",
        ],
        ["masks/scratch/0_mask.png", "masks/scratch/1.png"],
    )  # fmt: skip
