"""Your own pictures: a folder of good ones, and one beside it for each kind of defect."""

from __future__ import annotations

from pathlib import Path

from softpatch.datasets.layout import (
    HELD_OUT,
    Layout,
    folders_that,
    good_samples,
    hold_out,
    pictures,
    subfolders,
    with_masks,
)
from softpatch.datasets.samples import GOOD, Category, Sample
from softpatch.errors import DatasetError

MASKS = ("masks", "ground_truth")
NO_DEFECTS = {GOOD, "train", "validation", *MASKS}


def _is_category(folder: Path) -> bool:
    return (folder / GOOD).is_dir() or (folder / "train" / GOOD).is_dir()


def read(name: str, folder: Path) -> Category:
    """Read one category."""
    good = pictures(folder / GOOD)
    given = pictures(folder / "train" / GOOD)
    train, held_out = (given, good) if given else hold_out(good)
    test: list[Sample] = []
    unused: list[Path] = []
    truth = next((folder / name for name in MASKS if (folder / name).is_dir()), folder / MASKS[0])
    for kind in subfolders(folder):
        if kind.name not in NO_DEFECTS:
            samples, left = with_masks(kind.name, pictures(kind), truth / kind.name)
            test += samples
            unused += left
    test += good_samples(held_out)
    if not train or not test:
        half = "test" if train else "training"
        raise DatasetError(f"{folder}: no {half} pictures found")
    return Category(name, folder, tuple(good_samples(train)), tuple(test), tuple(unused))


FOLDER = Layout(
    name="folder",
    title="your own pictures",
    licence="yours",
    url="",
    categories=(),
    tree="""\
<category>/good/*.png  (any picture format)
<category>/<defect>/*.png  (any number of kinds)
<category>/masks/<defect>/<picture>_mask.png  (or <picture>.png; optional)
<category>/train/good/*.png  (instead of splitting good/, which then tests; optional)""",
    split=f"every {HELD_OUT}th good picture in order of names and all defective ones test",
    find=folders_that(_is_category),
    read=read,
)
