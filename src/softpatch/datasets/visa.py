"""VisA: one table says which pictures of each object train and which test."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from softpatch.datasets.layout import Layout
from softpatch.datasets.samples import GOOD, Category, Sample
from softpatch.errors import DatasetError

TABLE = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
NORMAL = "normal"


def find(root: Path) -> dict[str, Path]:
    """``root`` for every object in the table whose folder is there."""
    if not (root / TABLE).is_file():
        return {}
    names = sorted({row["object"] for _, row in _rows(root)})
    found = {name: root for name in names if (root / name).is_dir()}
    if not found:
        objects = ", ".join(names) or "none"
        raise DatasetError(f"{root / TABLE}: no folder beside it for any of its objects: {objects}")
    return found


def read(name: str, root: Path) -> Category:
    """Read one object; a picture in the table that is not on disk stays in the category."""
    halves: dict[str, list[Sample]] = {"train": [], "test": []}
    for place, row in _rows(root):
        if row["object"] != name:
            continue
        normal = row["label"] == NORMAL
        if row["split"] not in halves or (row["split"] == "train" and not normal):
            raise DatasetError(f"{place}: {row['label']} in {row['split']}; the training half "
                               "is normal, and there is no half but train and test")  # fmt: skip
        mask = _below(root, row["mask"], place) if row["mask"] and not normal else None
        halves[row["split"]].append(
            Sample(
                _below(root, row["image"], place),
                GOOD if normal else row["label"],
                (mask,) if mask is not None and mask.is_file() else (),
                mask_threshold=0,  # a pixel holds the number of its defect's type
            )
        )
    for half, samples in halves.items():
        if not samples:
            raise DatasetError(f"{root / TABLE}: no {half} pictures of {name}")
        samples.sort(key=lambda sample: sample.path)  # the table is shuffled
    return Category(name, root, tuple(halves["train"]), tuple(halves["test"]))


def _rows(root: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row's place, for error messages, and its stripped cells by column."""
    path = root / TABLE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise DatasetError(
                    f"{path}: expected the columns {','.join(COLUMNS)}, found "
                    f"{','.join(reader.fieldnames or ()) or 'none'}"
                )
            for row in reader:
                cells = {column: (row[column] or "").strip() for column in COLUMNS}
                yield f"{path}, line {reader.line_num}", cells
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a CSV table in UTF-8 ({error})") from error


def _below(root: Path, name: str, place: str) -> Path:
    relative = PurePosixPath(name)
    if not name or relative.is_absolute() or ".." in relative.parts:
        raise DatasetError(f"{place}: expected a path below {root}, got {name!r}")
    return root / relative


VISA = Layout(
    name="visa",
    title="VisA, Visual Anomaly",
    licence="CC BY 4.0",
    url="https://github.com/amazon-science/spot-diff",
    categories=(
        "candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2", "pcb1",
        "pcb2", "pcb3", "pcb4", "pipe_fryum",
    ),
    tree=f"""\
{TABLE}  (columns {",".join(COLUMNS)}; paths from the root)
<category>/Data/Images/Normal/*.JPG
<category>/Data/Images/Anomaly/*.JPG
<category>/Data/Masks/Anomaly/*.png  (optional)""",
    split=f"as published in {TABLE}",
    find=find,
    read=read,
)  # fmt: skip
