"""MVTec AD, the layout that most industrial data sets follow or are converted to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from softpatch.datasets.layout import (
    Layout,
    folders_that,
    good_samples,
    pictures,
    tree_found,
    with_annotations,
    with_masks,
)
from softpatch.datasets.names import (
    child,
    good_folders,
    is_good,
    is_kind,
    is_of_masks,
    subfolders,
)
from softpatch.datasets.samples import Category, Sample
from softpatch.errors import DatasetError
from softpatch.runtime.listing import list_images

TREE = """\
<category>/train/good/*.png
<category>/test/good/*.png
<category>/test/<defect>/*.png
<category>/ground_truth/<defect>/<picture>_mask.png  (optional)
<category>/ground_truth/*.json, *.xml  (of annotation tools; or beside the pictures; optional)"""
PUBLISHED = "as published"


def read_category(folder: Path) -> Category:
    """Read one category.

    Raises:
        DatasetError: another layout; the message shows the expected tree and the one found.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    if not is_category(folder):
        raise DatasetError(
            f"{folder}: not in MVTec layout; expected train/good, test/good, test/<defect> "
            f"(and ground_truth/<defect>), found {tree_found(folder)}"
        )
    return read(folder.resolve().name, folder)


def is_category(folder: Path) -> bool:
    """Whether a folder has a training and a test half."""
    good = good_folders(child(folder, "train"))
    if (folder / "test" / "ko").is_dir() and [one.name for one in good] == ["ok"]:
        return False  # BTAD
    return bool(good) and child(folder, "test").is_dir()


find = folders_that(is_category)


def read(name: str, folder: Path) -> Category:
    """Read one category, with what annotation tools mark of pictures without a mask."""
    category = read_published(name, folder)
    test, truth = child(folder, "test"), child(folder, "ground_truth")
    places = [folder, test, *subfolders(test), truth, *subfolders(truth)]
    good = [sample for sample in (*category.train, *category.test) if not sample.defective]
    defects, unmatched = with_annotations(
        folder, category.defects, [sample.path for sample in good], places
    )
    marked = {sample.path: sample for sample in defects}
    samples = tuple(marked.get(sample.path, sample) for sample in category.test)
    return replace(category, test=samples, unmatched=unmatched)


def read_published(
    name: str, folder: Path, below: str = "", masks: str = "ground_truth/{}"
) -> Category:
    """Read one category with masks that are pictures.

    Args:
        name: of the category.
        folder: its folder.
        below: where a kind's pictures are in its folder.
        masks: where a kind's masks are in the category's folder.
    """
    given = [list_images(good / below) for good in good_folders(child(folder, "train"))]
    train = good_samples(path for paths in given for path in paths)
    test: list[Sample] = []
    unused: list[Path] = []
    passed_over: list[Path] = []
    tested = child(folder, "test")
    for kind in subfolders(tested):
        found = pictures(kind / below)
        if is_good(kind.name):  # whose masks, if there are any, are blank
            test += good_samples(found)
        elif is_kind(kind.name):
            samples, left = with_masks(kind.name, found, _masks(folder, masks.format(kind.name)))
            test += samples
            unused += left
        elif found and not is_of_masks(kind.name):
            passed_over.append(kind)
    truth = child(folder, "ground_truth")
    for kind in subfolders(truth):
        if not is_good(kind.name) and not child(tested, kind.name).is_dir():
            unused += pictures(kind)
    if not test:
        place = f" in <kind>/{below}" if below else ""
        raise DatasetError(f"{tested}: no pictures found{place}")
    return Category(name, folder, tuple(train), tuple(test), tuple(unused), tuple(passed_over))


def _masks(folder: Path, path: str) -> Path:
    for name in path.split("/"):
        folder = child(folder, name)
    return folder


MVTEC = Layout(
    name="mvtec",
    title="MVTec AD",
    licence="CC BY-NC-SA 4.0",
    url="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    categories=(
        "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut",
        "pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper",
    ),
    tree=TREE,
    split=PUBLISHED,
    find=find,
    read=read,
)  # fmt: skip
