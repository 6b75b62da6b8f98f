"""MVTec 3D-AD: its colour pictures; the point clouds beside them are not read."""

from __future__ import annotations

from pathlib import Path

from softpatch.datasets.layout import (
    Layout,
    category_folders,
    good_samples,
    pictures,
    subfolders,
    with_masks,
)
from softpatch.datasets.samples import GOOD, Category, Sample
from softpatch.errors import DatasetError
from softpatch.runtime.images import list_images


def find(root: Path) -> dict[str, Path]:
    """The categories below ``root``, by name."""
    return category_folders(root, _is_category)


def _is_category(folder: Path) -> bool:
    return (folder / "train" / GOOD / "rgb").is_dir() and (folder / "test").is_dir()


def read(name: str, folder: Path) -> Category:
    """Read one category that ``find`` has found.

    Raises:
        DatasetError: no training or no test pictures.
    """
    train = good_samples(list_images(folder / "train" / GOOD / "rgb"))
    test: list[Sample] = []
    unused: list[Path] = []
    for kind in subfolders(folder / "test"):
        if kind.name == GOOD:  # whose masks are blank
            test += good_samples(pictures(kind / "rgb"))
        else:
            samples, left = with_masks(kind.name, pictures(kind / "rgb"), kind / "gt")
            test += samples
            unused += left
    if not test:
        raise DatasetError(f"{folder / 'test'}: no pictures found in <kind>/rgb")
    return Category(name, folder, tuple(train), tuple(test), tuple(unused))


MVTEC_3D = Layout(
    name="mvtec_3d",
    title="MVTec 3D-AD (colour pictures)",
    licence="CC BY-NC-SA 4.0",
    url="https://www.mvtec.com/company/research/datasets/mvtec-3d-ad",
    categories=(
        "bagel", "cable_gland", "carrot", "cookie", "dowel", "foam", "peach", "potato", "rope",
        "tire",
    ),
    tree="""\
<category>/train/good/rgb/*.png
<category>/validation/good/rgb/*.png  (not used)
<category>/test/good/rgb/*.png
<category>/test/<defect>/rgb/*.png
<category>/test/<defect>/gt/*.png  (optional)""",
    split="as published; validation is in neither half",
    find=find,
    read=read,
)  # fmt: skip
