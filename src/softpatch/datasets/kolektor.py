"""KolektorSDD: eight surfaces of each of fifty commutators; a blank label means good."""

from __future__ import annotations

import re
from pathlib import Path

from softpatch.datasets.layout import HELD_OUT, Layout, good_samples, hold_out, pictures
from softpatch.datasets.names import subfolders
from softpatch.datasets.samples import Category, Sample
from softpatch.errors import DatasetError, ImageError
from softpatch.images.masks import read_marks

NAME = "kolektor"
LABEL = "_label"


def find(root: Path) -> dict[str, Path]:
    """The single category, if ``root`` has folders of items."""
    return {NAME: root} if _items(root) else {}


def read(name: str, root: Path) -> Category:
    """Read the category, labels included (399 in the published set, 3 s).

    All defective surfaces are tested, and the good ones of every fifth item. No surface of those
    items is trained on, so that a good test picture shows a part not seen in training.
    """
    items = _items(root)
    held_out = set(hold_out(items)[1])
    train: list[Sample] = []
    test: list[Sample] = []
    unused: list[Path] = []
    for item in items:
        files = {path.stem: path for path in pictures(item)}
        labels = {stem: path for stem, path in files.items() if stem.endswith(LABEL)}
        for stem, path in files.items():
            if stem.endswith(LABEL):
                continue
            label = labels.pop(stem + LABEL, None)
            if label is None or (marked := _marks_anything(label)) is None:
                unused.append(path)
            elif marked:
                test.append(Sample(path, "defect", (label,), mask_threshold=0))
            else:
                (test if item in held_out else train).extend(good_samples([path]))
        unused += labels.values()
    if not train or not test:
        half = "test" if train else "training"
        raise DatasetError(f"{root}: no {half} pictures found in {len(items)} item folder(s)")
    return Category(name, root, tuple(train), tuple(test), tuple(unused))


def _items(root: Path) -> list[Path]:
    return [folder for folder in subfolders(root) if re.fullmatch(r"kos\d+", folder.name)]


def _marks_anything(label: Path) -> bool | None:
    """Whether any pixel is marked; None if the label cannot be read."""
    try:
        return bool(read_marks(label, str(label), threshold=0).any())
    except ImageError:
        return None


KOLEKTOR = Layout(
    name=NAME,
    title="KolektorSDD",
    licence="CC BY-NC-SA 4.0",
    url="https://www.vicos.si/resources/kolektorsdd/",
    categories=(NAME,),
    tree="""\
kos01/Part0.jpg
kos01/Part0_label.bmp  (blank for a good surface)
kos02/...""",
    split=(
        f"ours, since none is published by folders: good surfaces of every {HELD_OUT}th item "
        "(kos05, kos10, ...) and all defective ones test, the other good ones train"
    ),
    find=find,
    read=read,
)
