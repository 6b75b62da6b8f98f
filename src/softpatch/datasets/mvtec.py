"""The MVTec AD layout, which most industrial sets follow or are converted to::

category/
train/good/*.png
test/good/*.png
test/<defect>/*.png
ground_truth/<defect>/<stem>_mask.png     (optional)
"""

from __future__ import annotations

from pathlib import Path

from softpatch.datasets.samples import GOOD, Category, Sample
from softpatch.errors import DatasetError
from softpatch.images import EXTENSIONS, list_images


def read_category(folder: Path) -> Category:
    """Read one category.

    Raises:
        DatasetError: another layout; the message shows the tree expected and the one found.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    if not (folder / "train" / GOOD).is_dir() or not (folder / "test").is_dir():
        raise DatasetError(
            f"{folder}: not in MVTec layout; expected train/good, test/good, test/<defect> "
            f"(and ground_truth/<defect>), found {_tree(folder)}"
        )
    train = tuple(Sample(path, GOOD) for path in list_images(folder / "train" / GOOD))
    kinds = sorted(
        entry for entry in (folder / "test").iterdir() if entry.is_dir() and entry.name[0] != "."
    )
    test = tuple(
        Sample(path, kind.name, () if kind.name == GOOD else _masks(folder, kind.name, path))
        for kind in kinds
        for path in sorted(kind.iterdir())
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
    )
    if not test:
        raise DatasetError(f"{folder / 'test'}: no pictures found")
    return Category(folder.resolve().name, folder, train, test)


def _masks(folder: Path, kind: str, path: Path) -> tuple[Path, ...]:
    truth = folder / "ground_truth" / kind
    for candidate in (truth / f"{path.stem}_mask.png", truth / f"{path.stem}.png"):
        if candidate.is_file():
            return (candidate,)
    return ()


def _tree(folder: Path) -> str:
    found = sorted(
        str(entry.relative_to(folder)) + "/"
        for pattern in ("*", "*/*")
        for entry in folder.glob(pattern)
        if entry.is_dir()
    )
    return ", ".join(found[:12]) + (", ..." if len(found) > 12 else "") if found else "no folders"
