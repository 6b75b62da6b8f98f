"""The versions of a model file: each change keeps the file that it replaces.

The current version is the file itself; the others are beside it, ``part.softpatch.versions/
0001.softpatch`` and so on, each a complete model file. A version is kept before the file changes,
and the file changes by one rename, so that a kill leaves the old file or the new one.
"""

from __future__ import annotations

import filecmp
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from softpatch.errors import ModelFileError
from softpatch.ranges.table import check_all
from softpatch.runtime.files import file_digest
from softpatch.storage.lineage import Lineage
from softpatch.storage.lock import changing
from softpatch.storage.model_bytes import read_checked, read_header, write_content

SUFFIX = ".softpatch"


def versions_folder(path: Path) -> Path:
    """The folder of a model file's versions."""
    return path.with_name(f"{path.name}.versions")


def kept_versions(path: Path) -> dict[int, Path]:
    """Number -> file of the versions kept beside a model file, ascending."""
    files = versions_folder(path).glob(f"*{SUFFIX}")
    numbered = {int(file.stem): file for file in files if file.stem.isdecimal()}
    return dict(sorted(numbered.items()))


class Versioned(Protocol):
    """The part of a fitted detector that versions need."""

    lineage_: Lineage

    def save(self, path: str | Path) -> None:
        """Write its model file."""
        ...


def write_version(detector: Versioned, path: Path) -> None:
    """Save a model as the next version of a file, and keep the current version.

    Raises:
        ModelFileError: a file cannot be written, or ``path`` is no model; it is left unchanged.
        BusyError: another process is changing it.
    """
    with changing(path):
        if path.exists():
            keep_version(path)
        number = 1 + max(kept_versions(path), default=0)
        detector.lineage_ = replace(detector.lineage_, version=number)
        detector.save(path)


def roll_back(path: Path, to: int | None = None) -> Lineage:
    """Restore version ``to``, or that which the current one was made from; its lineage.

    The current version is kept, so that this can be undone.

    Raises:
        ModelFileError: the version is not kept, or damaged.
        BusyError: another process is changing the file.
        UsageError: ``to`` below 1.
    """
    check_all(to=to)
    with changing(path):
        return _rolled_back(path, to)


def _rolled_back(path: Path, to: int | None) -> Lineage:
    parents = lineage_of(path).parents
    keep_version(path)
    kept = kept_versions(path)
    if to is None:
        to = next((number for number, file in kept.items() if file_digest(file) in parents), None)
    if to not in kept:
        wanted = "the version it was made from" if to is None else f"version {to}"
        numbers = ", ".join(map(str, kept))
        raise ModelFileError(f"{path}: {wanted} is not kept; there are versions {numbers}")
    read_checked(kept[to])  # raises before a damaged version replaces a good one
    write_content(path, kept[to].read_bytes())
    return lineage_of(path)


def keep_version(path: Path) -> None:
    """Copy the current version to the versions folder, unless it is there already."""
    kept = kept_versions(path)
    if any(filecmp.cmp(path, file, shallow=False) for file in kept.values()):
        return
    number = lineage_of(path).version
    if number in kept:  # the file was rewritten without counting versions
        number = 1 + max(kept)
    try:
        versions_folder(path).mkdir(exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"{path}: its versions cannot be kept ({error.strerror})") from error
    write_content(versions_folder(path) / f"{number:04}{SUFFIX}", path.read_bytes())


def lineage_of(path: Path) -> Lineage:
    """Read the lineage in a model file's header; ModelFileError if it is no model file."""
    return lineage_in(path, read_header(path))


def lineage_in(path: Path, header: dict[str, Any]) -> Lineage:
    """The same from a header that has been read; ``path`` is named if it is damaged."""
    try:
        return Lineage.from_header(header)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: damaged model file ({error})") from error
