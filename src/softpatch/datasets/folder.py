"""Your own pictures: a folder of good ones, and one beside it for each kind of defect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from softpatch.datasets.layout import (
    HELD_OUT,
    MASK,
    Layout,
    folders_that,
    good_samples,
    hold_out,
    pictures,
    with_annotations,
    with_masks,
)
from softpatch.datasets.names import (
    child,
    good_folders,
    is_kind,
    is_leftover,
    is_of_masks,
    subfolders,
)
from softpatch.datasets.samples import Category, Sample
from softpatch.errors import DatasetError


def _is_category(folder: Path) -> bool:
    return bool(good_folders(folder) or good_folders(child(folder, "train")))


def read(name: str, folder: Path) -> Category:
    """Read one category."""
    good = _all_of(good_folders(folder))
    given = _all_of(good_folders(child(folder, "train")))
    train, held_out = (given, good) if given else hold_out(good)
    below = subfolders(folder)
    kinds = {kind: pictures(kind) for kind in below if is_kind(kind.name)}
    truths = [entry for entry in below if is_of_masks(entry.name)]
    loose = _loose_masks(truths, kinds)
    test: list[Sample] = []
    unused: list[Path] = []
    by_kind: list[Path] = []
    for kind, found in kinds.items():
        masked = [child(truth, kind.name) for truth in truths]
        truth = next((place for place in masked if place.is_dir()), folder / "masks" / kind.name)
        samples, left = with_masks(kind.name, found, truth, loose)
        test += samples
        unused += left
        by_kind += masked
    used = {mask for sample in test for mask in sample.masks}
    unused += [mask for truth in truths for mask in pictures(truth) if mask not in used]
    places = [folder, *kinds, *truths, *by_kind]
    test, unmatched = with_annotations(folder, test, [*good, *given], places)
    test += good_samples(held_out)
    if not train or not test:
        half = "test" if train else "training"
        raise DatasetError(f"{folder}: no {half} pictures found")
    left_over = [entry for entry in below if is_leftover(entry.name) and pictures(entry)]
    return Category(
        name, folder, tuple(good_samples(train)), tuple(test), tuple(unused), tuple(left_over),
        unmatched,
    )  # fmt: skip


def _all_of(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in pictures(folder)]


def _loose_masks(truths: Iterable[Path], kinds: Mapping[Path, Sequence[Path]]) -> dict[str, Path]:
    """Masks not sorted by kind, by the stem of their picture, if a single kind has one of it."""
    stems = Counter(stem for found in kinds.values() for stem in {path.stem for path in found})
    masks = {path.stem.removesuffix(MASK): path for path in _all_of(truths)}
    return {stem: path for stem, path in masks.items() if stems[stem] == 1}


FOLDER = Layout(
    name="folder",
    title="your own pictures",
    licence="yours",
    url="",
    categories=(),
    tree="""\
<category>/good/*.png  (any picture format)
<category>/<defect>/*.png  (any number of kinds)
<category>/masks/<defect>/<picture>_mask.png  (or <picture>.png; optional; in masks/ itself, too)
<category>/masks/*.json, *.xml  (of annotation tools; or beside masks/ or the pictures; optional)
<category>/train/good/*.png  (instead of splitting good/, which then tests; optional)""",
    split=f"every {HELD_OUT}th good picture in order of names and all defective ones test",
    find=folders_that(_is_category),
    read=read,
)
