"""What the files of annotation tools about a category mark of it, and what is odd about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from softpatch.datasets.annotations import yolo
from softpatch.datasets.annotations.marked import Marked
from softpatch.datasets.annotations.matching import match
from softpatch.datasets.annotations.reading import is_annotations, read_export


@dataclass(frozen=True)
class Annotations:
    """What is marked of a category.

    Attributes:
        of: the files that know a picture, by it.
        remarks: what is of no use, a line each.
        useless: the first of these lines that is about the files of a tool; empty without.
    """

    of: Mapping[Path, Sequence[Path]]
    remarks: tuple[str, ...]
    useless: str


def find_annotations(
    folders: Iterable[Path], defective: Sequence[Path], good: Iterable[Path]
) -> Annotations:
    """Read the files directly in these folders.

    Raises:
        DatasetError: one is damaged, or it cannot be told which picture it means.
    """
    labels = {f"{picture.stem}{yolo.SUFFIX}".lower() for picture in defective}
    exports = [read_export(file) for folder in folders for file in _files(folder, labels)]
    matches = match(exports, defective, good)
    like = [f" (yours are called like {one.parent.name}/{one.name})" for one in defective[:1]]
    absent = _counted(_names(matches.absent), "picture(s) marked that are not here")
    shared = _counted(_names(matches.shared), "picture(s) marked whose names several kinds have")
    unclear = _counted(
        [f"{name} of {export.path.name}" for export in exports for name in export.unclear],
        "task(s) of which it cannot be told which picture is marked",
    )
    broken = [export.path.name for export in exports if export.broken]
    passed_over = _counted(broken, "file(s) passed over, neither JSON nor XML")
    unread: dict[str, list[str]] = defaultdict(list)  # why -> files
    for export in exports:
        if export.unread:
            unread[export.unread].append(export.path.name)
    lines = {why: f"{_such_as(names)}: {why}" for why, names in unread.items()}
    remarks = ("".join([line, *like]) for line in absent)
    # A text file a picture may be there for another program.
    labels_of_yolo = [line for why, line in lines.items() if why == yolo.UNREAD]
    useless = [*(line for line in lines.values() if line not in labels_of_yolo), *remarks, *unclear]
    return Annotations(
        matches.exports,
        (*useless, *labels_of_yolo, *shared, *passed_over),
        useless[0] if useless else "",
    )


def _files(folder: Path, labels: Collection[str]) -> list[Path]:
    """Those that may be of a tool; of text files, which may be anything, those with such names."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        file
        for file in files
        if (is_annotations(file) or file.name.lower() in labels) and file.is_file()
    ]


def _names(some: Iterable[tuple[Path, Marked]]) -> list[str]:
    return [f"{marked.places[0]} of {file.name}" for file, marked in some]


def _counted(some: Sequence[str], what: str) -> list[str]:
    return [f"{len(some)} {what}: {_such_as(some)}"] if some else []


def _such_as(some: Sequence[str]) -> str:
    return f"{some[0]} and others" if some[1:] else some[0]
