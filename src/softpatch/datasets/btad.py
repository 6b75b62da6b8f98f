"""BTAD: three products, good (``ok``) and defective (``ko``), in bmp and png mixed."""

from __future__ import annotations

from pathlib import Path

from softpatch.datasets.layout import Layout, folders_that, good_samples, pictures, with_masks
from softpatch.datasets.samples import Category
from softpatch.errors import DatasetError
from softpatch.runtime.listing import list_images


def _is_category(folder: Path) -> bool:
    return (folder / "train" / "ok").is_dir() and (folder / "test").is_dir()


def read(name: str, folder: Path) -> Category:
    """Read one category."""
    train = good_samples(list_images(folder / "train" / "ok"))
    # Good and defective pictures have the same names: masks go with the defective ones alone.
    defective, unused = with_masks(
        "ko", pictures(folder / "test" / "ko"), folder / "ground_truth" / "ko"
    )
    test = defective + good_samples(pictures(folder / "test" / "ok"))
    if not test:
        raise DatasetError(f"{folder / 'test'}: no pictures found in ok or ko")
    return Category(name, folder, tuple(train), tuple(test), tuple(unused))


BTAD = Layout(
    name="btad",
    title="BTAD, beanTech Anomaly Detection",
    licence="none stated; cited as CC BY-SA",
    url="https://github.com/pankajmishra000/VT-ADL",
    categories=("01", "02", "03"),
    tree="""\
<category>/train/ok/*.bmp  (or png)
<category>/test/ok/*.bmp
<category>/test/ko/*.bmp
<category>/ground_truth/ko/*.png  (or bmp, whatever the pictures are; optional)""",
    split="as published",
    find=folders_that(_is_category),
    read=read,
)
