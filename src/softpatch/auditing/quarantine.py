"""Moves pictures to a quarantine folder so that they can always be restored.

A journal in the quarantine folder lists all files before the first one moves, and a file leaves its
old place only when it is complete at the new one. Whenever the program is stopped, each file is at
its old place, at its new one, or identical at both; ``restore`` handles all three. Nothing is ever
overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from softpatch.auditing.decisions import Decisions, stays_inside
from softpatch.compute.progress import Progress, silent
from softpatch.errors import DatasetError
from softpatch.runtime.files import file_digest, write_atomically
from softpatch.runtime.own_files import QUARANTINE
from softpatch.storage.moving import leftover, move_file

JOURNAL = QUARANTINE  # by which others know the folder
FORMAT = "softpatch-quarantine"
VERSION = 1


def default_quarantine(folder: Path) -> Path:
    """The quarantine beside the folder, where a fit does not see it."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}-quarantine")


def removable(folder: Path, quarantine: Path, decisions: Decisions) -> dict[str, str]:
    """Name -> digest of the files to be moved, without those that have been moved before.

    Raises:
        DatasetError: a file is missing, has changed since the decision, or is reached by a link;
            its place in the quarantine is taken; or the quarantine is inside the folder or belongs
            to another folder. Nothing should be moved then.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    if quarantine.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(f"{quarantine}: lies inside {folder}, where a fit would find it")
    moved = _read_journal(quarantine, folder)
    files = {}
    for name in decisions.remove:
        source, target = folder / name, quarantine / name
        _refuse_links(folder, name)
        _refuse_links(quarantine, name)
        there = source.is_file()
        if not there and name in moved and target.is_file():
            continue
        if not there:
            raise DatasetError(f"{source}: no such file")
        found = file_digest(source)
        if name in decisions.sha256 and found != decisions.sha256[name]:
            raise DatasetError(f"{source}: has changed since it was decided about; audit again")
        if target.exists() and not (name in moved and file_digest(target) == found):
            raise DatasetError(f"{target}: is there already; name another --quarantine")
        files[name] = found
    return files


def remove(
    folder: Path, quarantine: Path, files: dict[str, str], progress: Progress = silent
) -> None:
    """Move files from ``removable`` into the quarantine, where they keep their relative paths.

    Raises:
        DatasetError: a file has changed in the meantime.
        OSError: a file cannot be moved; those moved so far can be restored.
    """
    quarantine.mkdir(parents=True, exist_ok=True)
    moved = _read_journal(quarantine, folder)
    _write_journal(quarantine, folder, moved | files.keys())
    for done, (name, expected) in enumerate(files.items(), start=1):
        move_file(folder / name, quarantine / name, expected)
        progress("move", done, len(files))


def restorable(folder: Path, quarantine: Path) -> list[str]:
    """The names in the journal, which ``restore`` puts back.

    Raises:
        DatasetError: no journal, a damaged one, that of another folder, or another file in a
            file's old place.
    """
    if not (quarantine / JOURNAL).is_file():
        raise DatasetError(f"{quarantine}: nothing was moved here by softpatch clean")
    names = sorted(_read_journal(quarantine, folder))
    for name in names:
        _refuse_links(folder, name)
        _refuse_links(quarantine, name)
        source, target = quarantine / name, folder / name
        if source.exists() and target.exists() and file_digest(source) != file_digest(target):
            raise DatasetError(f"{target}: another file has taken its place; move that away first")
    return names


def restore(
    folder: Path, quarantine: Path, names: Sequence[str], progress: Progress = silent
) -> list[str]:
    """Move all from ``restorable`` back, and remove the quarantine's journal and empty folders.

    Returns:
        the names found at neither place: somebody has deleted them in the quarantine.
    """
    gone = []
    for done, name in enumerate(names, start=1):
        source, target = quarantine / name, folder / name
        if source.exists():
            move_file(source, target, file_digest(source))
        if target.exists():
            leftover(source).unlink(missing_ok=True)
        else:
            gone.append(name)
        progress("move", done, len(names))
    (quarantine / JOURNAL).unlink()
    emptied = {quarantine / parent for name in names for parent in PurePosixPath(name).parents}
    for below in sorted(emptied, reverse=True):  # the deepest first, the quarantine itself last
        with suppress(OSError):  # not empty
            below.rmdir()
    return gone


def _read_journal(quarantine: Path, folder: Path) -> set[str]:
    """Names in the journal, which must belong to ``folder``; empty without a journal."""
    path = quarantine / JOURNAL
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError("another format")
        files = set(content["files"])
        if not all(map(stays_inside, files)):
            raise ValueError("paths that leave the folder")
        owner = str(content["folder"])
    except FileNotFoundError:
        return set()
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: damaged journal ({error})") from error
    if not _same(Path(owner), folder):
        raise DatasetError(
            f"{quarantine}: holds pictures of {owner}; name another --quarantine or that folder "
            f"(if it has moved, change it in {path})"
        )
    return files


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one folder, which may be gone: a clean can empty it."""
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return one == other.resolve()


def _write_journal(quarantine: Path, folder: Path, files: set[str]) -> None:
    about = {"format": FORMAT, "version": VERSION, "folder": str(folder.resolve())}
    content = {**about, "files": sorted(files)}
    write_atomically(quarantine / JOURNAL, (json.dumps(content, indent=1) + "\n").encode())


def _refuse_links(folder: Path, name: str) -> None:
    path = folder
    for part in name.split("/"):
        path = path / part
        if path.is_symlink():
            raise DatasetError(f"{path}: is a link; only files that lie in the folder are moved")
