"""What may be replaced: a file that the same command has written, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from softpatch.errors import UsageError, reason_of
from softpatch.runtime.files import open_ordinary

MARK = b"softpatch"  # the key of what is told of the model in its file, and in an exported one
HEAD = 1_000_000  # bytes of a model file, at the beginning, that have it


def check_target(path: Path, kind: Callable[[Path], bool]) -> None:
    """Refuse a place to write to where something else would be lost.

    Args:
        path: of the file to write, in an existing folder.
        kind: whether an ordinary file is one that such a file may replace.

    Raises:
        UsageError: there is a link, a folder, a device, or a file of another kind.
    """
    if path.is_symlink():
        raise UsageError(f"{path}: is a link to {path.readlink()}; name that file itself")
    try:
        with open_ordinary(path) as file:
            empty = not file.read(1)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path}: {reason_of(error)}; name another file to write") from error
    if not empty and not kind(path):
        raise UsageError(f"{path}: is another kind of file; name another, or move it away")


def is_model(path: Path) -> bool:
    """Whether a file is a model, be it cut or damaged: a fit replaces that, too."""
    with open_ordinary(path) as file:
        head = file.read(HEAD)
    return head[8:].startswith(b'{"__metadata__"') and MARK in head


def is_exported(path: Path) -> bool:
    """Whether a file is what ``softpatch export`` writes."""
    return MARK in path.read_bytes()


def is_manifest(path: Path) -> bool:
    """Whether a file is what ``--manifest`` writes."""
    try:
        return "injected" in json.loads(path.read_bytes())
    except (ValueError, TypeError, RecursionError):
        return False


def is_ranking(path: Path) -> bool:
    """Whether a file is what ``--suspects`` writes."""
    with open_ordinary(path) as file:
        return file.readline(100).startswith(b"rank,suspicion,path")
