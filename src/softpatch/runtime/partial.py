"""Files under a temporary name while they are written, and what killed runs have left of them.

Each is locked as long as its writer lives: the system lets go of the lock however the process ends.
What nobody has locked is a killed run's, and the next run that writes to the folder removes it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

PREFIX, SUFFIX = ".softpatch-", ".partial"  # hidden, so that none is taken for a picture
LOCK = ".softpatch-lock"  # what the names of files end with that only say who is changing another

_sweeping = threading.Lock()


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed; False if somebody else has.

    Raises:
        OSError: its file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 2**30, os.SEEK_SET)  # beyond the content, which others may read
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def partial_file(folder: Path) -> Iterator[tuple[int, Path]]:
    """An open file of a temporary name in a folder, which is gone after the block, or renamed.

    Raises:
        OSError: it cannot be made.
    """
    remove_leftovers(folder)
    while True:
        descriptor, name = tempfile.mkstemp(prefix=PREFIX, suffix=SUFFIX, dir=folder)
        if _ours(descriptor):
            break
        os.close(descriptor)
    try:
        yield descriptor, Path(name)
    finally:
        with suppress(OSError):  # closed already, as Windows demands before a rename
            os.close(descriptor)
        Path(name).unlink(missing_ok=True)


@contextmanager
def partial_folder(folder: Path) -> Iterator[Path]:
    """The same of a folder in a folder, for files that appear together."""
    remove_leftovers(folder)
    made = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=folder))
    descriptor = None if sys.platform == "win32" else os.open(made, os.O_RDONLY)
    try:
        if descriptor is not None:
            _ours(descriptor)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def is_partial(path: Path) -> bool:
    """Whether a file or folder has the name of one that is being written."""
    return path.name.startswith(PREFIX) and path.name.endswith(SUFFIX)


def is_passing(path: Path) -> bool:
    """Whether it is one of these, or only says who is changing another: gone in a moment."""
    return is_partial(path) or path.name.endswith(LOCK)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left in a folder; it is looked at once in the life of a process."""
    with _sweeping:
        _remove_leftovers(folder.absolute())


@cache
def _remove_leftovers(folder: Path) -> None:
    for path in (*folder.glob(f"{PREFIX}*{SUFFIX}"), *folder.glob(f"*{LOCK}")):
        # Windows opens no folders, and does not remove what another process has open.
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if not try_lock(descriptor):
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            finally:
                os.close(descriptor)


def _ours(descriptor: int) -> bool:
    """Lock a new file; False if a run that looked for leftovers came before."""
    try:
        return try_lock(descriptor) and os.fstat(descriptor).st_nlink > 0
    except OSError:  # without locks nobody removes it
        return True
