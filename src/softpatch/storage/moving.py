"""Moving files so that each is whole at one place at least, whenever the program is stopped."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

from softpatch.errors import DatasetError
from softpatch.runtime.files import file_digest, open_ordinary
from softpatch.runtime.partial import partial_file

# Errors of os.link where hard links are impossible: between file systems, and on FAT.
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def move_file(source: Path, target: Path, expected: str) -> None:
    """Move an ordinary file; ``source`` is deleted once ``target`` is complete.

    A target that has the expected digest already is what an earlier, killed move has left.

    Raises:
        FileExistsError: the target is another file, a link, a folder or a device.
        DatasetError: the file no longer has the expected digest, or both paths are one place;
            nothing is deleted then.
        OSError: it cannot be moved; ``source`` is still there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.name == target.name and source.parent.samefile(target.parent):
        raise DatasetError(f"{source}: {target} is the same place")
    if not os.path.lexists(target):
        try:
            os.link(source, target)  # unlike a rename, fails if the name is taken
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            _copy(source, target)
    elif target.is_symlink() or not target.is_file() or file_digest(target) != expected:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    _sync(target.parent)
    one = source.samefile(target)  # linked; else copied, or written anew under its name
    if file_digest(target) != expected or not (one or file_digest(source) == expected):
        raise DatasetError(f"{source}: changed while it was moved")
    source.unlink()
    leftover(target).unlink(missing_ok=True)


def leftover(target: Path) -> Path:
    """Where a copy is written before it is complete; hidden, so that it is no picture."""
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return target.with_name(f".{name}.softpatch-moving")


def same_folder(one: Path, other: Path) -> bool:
    """Whether two paths are one folder, by links or mounts, even of a share mounted twice."""
    if one.samefile(other):
        return True
    with partial_file(one) as (_, probe):
        return (other / probe.name).exists()


def _copy(source: Path, target: Path) -> None:
    partial = leftover(target)
    with open_ordinary(source) as reading, partial.open("wb") as writing:
        shutil.copyfileobj(reading, writing)
        writing.flush()
        os.fsync(writing.fileno())
    shutil.copystat(source, partial)
    if file_digest(partial) != file_digest(source):
        raise DatasetError(f"{source}: the copy in {target.parent} differs; is the disk sound?")
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    partial.rename(target)


def _sync(folder: Path) -> None:
    """Flush a folder: the new name must be on disk before the old one goes, or neither may be."""
    if os.name == "nt":  # where folders cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
