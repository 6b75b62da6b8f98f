"""What may be replaced: a file that the same command has written, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import UsageError, reason_of
from .files import open_ordinary

# How every page begins that softpatch writes.
PAGE = b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" '


Kind = Callable[[Path], bool]  # whether an ordinary file is one that may be replaced


def check_target(path: Path, kind: Kind) -> None:
    """Refuse a place to write to where something else would be lost.

    Args:
        path: of the file to write, in an existing folder.
        kind: whether an ordinary file is one that such a file may replace.

    Raises:
        UsageError: there is a link, a folder, a device, or a file of another kind.
    """
    refuse_link(path)
    try:
        with open_ordinary(path) as file:
            empty = not file.read(1)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path}: {reason_of(error)}; name another file to write") from error
    if not empty and not kind(path):
        raise UsageError(f"{path}: is another kind of file; name another, or move it away")


def refuse_link(path: Path) -> None:
    """Raise UsageError for a link: to replace it would leave what it leads to as it was."""
    if path.is_symlink():
        raise UsageError(f"{path}: is a link to {path.readlink()}; name that file itself")


def check_folder(folder: Path) -> None:
    """Refuse a folder to write to that could not be made, since something else is there.

    Raises:
        UsageError: it is no folder, or lies below what is none.
    """
    for place in (folder, *folder.parents):
        if os.path.isdir(place):  # noqa: PTH112  # False where it may not be entered
            return
        if os.path.lexists(place):
            raise UsageError(f"{place}: is no folder; name a folder to write to")


def check_results(folder: Path, kinds: Mapping[str, Kind]) -> None:
    """``check_folder``, and ``check_target`` of the files of these names in it."""
    check_folder(folder)
    for name, kind in kinds.items():
        check_target(folder / name, kind)


def begins(beginning: bytes) -> Kind:
    """Whether a file begins so."""

    def kind(path: Path) -> bool:
        with open_ordinary(path) as file:
            return file.read(len(beginning)) == beginning

    return kind
