"""What may be replaced: a file that the same command has written, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import UsageError, reason_of
from .files import open_ordinary

# How every page begins that softpatch writes.
PAGE = b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" '


def check_target(path: Path, kind: Callable[[Path], bool]) -> None:
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


def check_results(folder: Path, beginnings: Mapping[str, bytes]) -> None:
    """``check_target`` of the files of these names, which begin so, in a folder of results."""
    for name, beginning in beginnings.items():
        check_target(folder / name, begins(beginning))


def begins(beginning: bytes) -> Callable[[Path], bool]:
    """Whether a file begins so."""

    def kind(path: Path) -> bool:
        with open_ordinary(path) as file:
            return file.read(len(beginning)) == beginning

    return kind
