"""Your own pictures: a folder of good ones, and one beside it for each kind of defect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from softpatch.datasets.annotations import is_annotations, pictures_in
from softpatch.datasets.layout import (
    HELD_OUT,
    MASK,
    Layout,
    folders_that,
    good_samples,
    hold_out,
    pictures,
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
    exported = {file: pictures_in(file) for place in (folder, *truths) for file in _exported(place)}
    test: list[Sample] = []
    unused: list[Path] = []
    for kind, found in kinds.items():
        places = (child(truth, kind.name) for truth in truths)
        truth = next((place for place in places if place.is_dir()), folder / "masks" / kind.name)
        samples, left = with_masks(kind.name, found, truth, loose)
        elsewhere = {path.name for other, found in kinds.items() if other != kind for path in found}
        test += [
            sample if sample.masks else _annotated(sample, exported, elsewhere)
            for sample in samples
        ]
        unused += left
    used = {mask for sample in test for mask in sample.masks}
    unused += [mask for truth in truths for mask in pictures(truth) if mask not in used]
    names = {path.name for found in (good, given, *kinds.values()) for path in found}
    unused += [file for file, known in exported.items() if known and names.isdisjoint(known)]
    test += good_samples(held_out)
    if not train or not test:
        half = "test" if train else "training"
        raise DatasetError(f"{folder}: no {half} pictures found")
    left_over = [entry for entry in below if is_leftover(entry.name) and pictures(entry)]
    return Category(
        name, folder, tuple(good_samples(train)), tuple(test), tuple(unused), tuple(left_over)
    )


def _all_of(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in pictures(folder)]


def _loose_masks(truths: Iterable[Path], kinds: Mapping[Path, Sequence[Path]]) -> dict[str, Path]:
    """Masks not sorted by kind, by the stem of their picture, if a single kind has one of it."""
    stems = Counter(stem for found in kinds.values() for stem in {path.stem for path in found})
    masks = {path.stem.removesuffix(MASK): path for path in _all_of(truths)}
    return {stem: path for stem, path in masks.items() if stems[stem] == 1}


def _exported(folder: Path) -> list[Path]:
    """What annotation tools may have put there."""
    return [file for file in sorted(folder.iterdir()) if file.is_file() and is_annotations(file)]


def _annotated(
    sample: Sample, exported: Mapping[Path, Container[str]], elsewhere: Container[str]
) -> Sample:
    """With the exports that know its picture: by its name alone if no other kind has that name."""
    keys = {f"{sample.path.parent.name}/{sample.path.name}"}
    keys |= set() if sample.path.name in elsewhere else {sample.path.name}
    masks = tuple(file for file, known in exported.items() if any(key in known for key in keys))
    return replace(sample, masks=masks)


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
<category>/masks/*.json, *.xml  (or beside masks/: of COCO, Label Studio, CVAT for images; optional)
<category>/train/good/*.png  (instead of splitting good/, which then tests; optional)""",
    split=f"every {HELD_OUT}th good picture in order of names and all defective ones test",
    find=folders_that(_is_category),
    read=read,
)
