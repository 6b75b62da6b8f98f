"""Layout, and helpers shared by the readers of several layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from softpatch.datasets.annotations import find_annotations
from softpatch.datasets.names import subfolders
from softpatch.datasets.package import Package
from softpatch.datasets.samples import GOOD, Category, Sample
from softpatch.errors import DatasetError
from softpatch.runtime.listing import why_no_image
from softpatch.runtime.own_files import is_drawing

T = TypeVar("T")

MASK = "_mask"  # what a mask's name has more than its picture's
HELD_OUT = 5  # without a published split, every fifth good picture is kept for the test


@dataclass(frozen=True)
class Layout:
    """The arrangement of a data set's files on disk.

    Attributes:
        name: short, for ``--layout``.
        title: the data set's own name.
        licence: of the pictures.
        url: of its authors' page.
        categories: the published ones; empty if any name will do.
        tree: one path a line, with a remark after two spaces.
        split: which pictures train and which test, in words.
        find: root -> category -> path to read it from; empty for another layout. DatasetError if
            the data set is damaged.
        read: name of a category and its path from ``find`` -> the category. DatasetError if it has
            no training or no test pictures, or is damaged.
        package: that holds the data set, which its ``name`` opens in place of a folder.
    """

    name: str
    title: str
    licence: str
    url: str
    categories: tuple[str, ...]
    tree: str
    split: str
    find: Callable[[Path], Mapping[str, Path]]
    read: Callable[[str, Path], Category]
    package: Package | None = None

    @property
    def paths(self) -> str:
        """The tree in one line, for error messages."""
        return ", ".join(line.split("  ")[0] for line in self.tree.splitlines())


def folders_that(is_category: Callable[[Path], bool]) -> Callable[[Path], dict[str, Path]]:
    """``Layout.find`` for a folder a category; ``root`` alone if it is one itself."""

    def find(root: Path) -> dict[str, Path]:
        if is_category(root):
            return {root.resolve().name: root}
        return {folder.name: folder for folder in subfolders(root) if is_category(folder)}

    return find


def pictures(folder: Path) -> list[Path]:
    """The picture files directly in ``folder``, sorted; empty if it does not exist."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    named = [file for file in files if why_no_image(file.name) is None]
    return [file for file in named if file.is_file() and not is_drawing(file)]


def hold_out(items: Sequence[T]) -> tuple[list[T], list[T]]:
    """Split into training items and every ``HELD_OUT``-th item, for the test."""
    test = list(items[HELD_OUT - 1 :: HELD_OUT])
    train = [item for index, item in enumerate(items) if index % HELD_OUT != HELD_OUT - 1]
    return train, test


def good_samples(paths: Iterable[Path]) -> list[Sample]:
    """Good pictures, which have no mask."""
    return [Sample(path, GOOD) for path in paths]


def with_masks(
    kind: str, paths: Sequence[Path], truth: Path, besides: Mapping[str, Path] | None = None
) -> tuple[list[Sample], list[Path]]:
    """Defective pictures, each with the mask of its name in the folder ``truth``.

    The mask of ``7.bmp`` is ``7_mask`` or else ``7``, in any picture format. A picture ``7_mask``
    beside it is its mask, too, and no picture.

    Args:
        kind: of the defect.
        paths: the pictures.
        truth: the folder of their masks.
        besides: more masks by the stem of their picture, for those without one there.

    Returns:
        the samples, and the masks in ``truth`` without a picture.
    """
    masks = {path.stem: path for path in pictures(truth)}
    named = {path.stem: path for path in paths}
    beside = {stem: named[f"{stem}{MASK}"] for stem in named if f"{stem}{MASK}" in named}
    own = set(beside.values())
    beside = {**(besides or {}), **beside}
    samples, used = [], set()
    for path in paths:
        if path in own:
            continue
        stem = path.stem
        mask = masks.get(f"{stem}{MASK}") or masks.get(stem) or beside.get(stem)
        samples.append(Sample(path, kind, (mask,) if mask else ()))
        used.add(mask)
    return samples, [mask for mask in masks.values() if mask not in used]


def with_annotations(
    folder: Path, test: Sequence[Sample], good: Iterable[Path], places: Iterable[Path]
) -> tuple[list[Sample], tuple[str, ...]]:
    """Defective pictures, those without a mask with what annotation tools mark of them.

    Args:
        folder: of the category.
        test: the pictures.
        good: good ones, which may be marked, too.
        places: folders in which files of tools are looked for.

    Returns:
        the samples, and what is of no use, a line each.

    Raises:
        DatasetError: a file is damaged, or no picture has a mask though there are files.
    """
    annotations = find_annotations(places, [sample.path for sample in test], good)
    samples = [
        sample
        if sample.masks
        else replace(sample, masks=tuple(annotations.of.get(sample.path, ())))
        for sample in test
    ]
    if annotations.useless and not any(sample.masks for sample in samples):
        raise DatasetError(f"{folder}: no masks: {annotations.useless}")
    return samples, annotations.remarks


def tree_found(folder: Path) -> str:
    """The folders two levels deep in one line, at most the first twelve."""
    found = sorted(
        str(entry.relative_to(folder)) + "/"
        for upper in subfolders(folder)
        for entry in (upper, *subfolders(upper))
    )
    return ", ".join(found[:12]) + (", ..." if len(found) > 12 else "") if found else "no folders"
