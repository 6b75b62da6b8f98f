"""Magnetic Tile Defects as released: a folder for each kind, masks beside pictures."""

from __future__ import annotations

from pathlib import Path

from softpatch.datasets.layout import HELD_OUT, Layout, good_samples, hold_out, pictures
from softpatch.datasets.names import subfolders
from softpatch.datasets.samples import Category, Sample
from softpatch.errors import DatasetError

NAME = "magnetic_tile"
PREFIX, FREE = "MT_", "MT_Free"
MASK = ".png"


def find(root: Path) -> dict[str, Path]:
    """The single category, if ``root`` has the folder of tiles without defects."""
    return {NAME: root} if (root / FREE / "Imgs").is_dir() else {}


def read(name: str, root: Path) -> Category:
    """Read the category; every fifth picture without a defect, sorted by name, is tested."""
    free, held_out = hold_out(_split(root / FREE)[0])
    if not free:
        raise DatasetError(f"{root / FREE / 'Imgs'}: no pictures found")
    test = good_samples(held_out)
    unused: list[Path] = []
    for folder in subfolders(root):
        if not folder.name.startswith(PREFIX) or folder.name == FREE:
            continue
        kind = folder.name.removeprefix(PREFIX).lower()
        found, masks = _split(folder)
        for path in found:
            mask = masks.pop(path.stem, None)
            test.append(Sample(path, kind, (mask,) if mask else ()))
        unused += masks.values()
    return Category(name, root, tuple(good_samples(free)), tuple(test), tuple(unused))


def _split(folder: Path) -> tuple[list[Path], dict[str, Path]]:
    """The photographs of a kind, and its masks by file stem."""
    files = pictures(folder / "Imgs")
    masks = {path.stem: path for path in files if path.suffix.lower() == MASK}
    return [path for path in files if path.suffix.lower() != MASK], masks


MAGNETIC_TILE = Layout(
    name=NAME,
    title="Magnetic Tile Defects",
    licence="free to use, please cite",
    url="https://github.com/abin24/Magnetic-tile-defect-datasets.",
    categories=(NAME,),
    tree="""\
MT_Free/Imgs/*.jpg
MT_<defect>/Imgs/*.jpg  (Blowhole, Break, Crack, Fray, Uneven)
MT_<defect>/Imgs/*.png  (masks, named as the pictures; optional)""",
    split=(
        f"ours, since none is published: every {HELD_OUT}th picture of MT_Free in order of names "
        "and all defective ones test, the other free ones train"
    ),
    find=find,
    read=read,
)
