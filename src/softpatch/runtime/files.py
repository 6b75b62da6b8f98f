"""Files: opened if they are ordinary, written so that nobody ever sees half of one, and as CSV."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LONGEST_NAME = 255  # bytes of a name in a folder, on all usual file systems


def open_ordinary(path: Path) -> io.BufferedReader:
    """Open a file to read it, at once: a pipe or a device would be waited for, maybe for ever.

    Raises:
        OSError: it cannot be opened, or is no ordinary file.
    """
    no_waiting = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, os.O_RDONLY | no_waiting)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise _not_ordinary(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_ordinary(path)
    return os.fdopen(descriptor, "rb")


def _not_ordinary(path: Path) -> OSError:
    return OSError(errno.EINVAL, "not an ordinary file", str(path))


def short_name(name: str, suffix: str = "") -> str:
    """The name with a suffix; with a digest in place of its end where that is too long a name."""
    whole = os.fsencode(name + suffix)
    if len(whole) <= LONGEST_NAME:
        return name + suffix
    ending = f"~{hashlib.sha256(whole).hexdigest()[:16]}{suffix}"
    kept = os.fsencode(name)[: LONGEST_NAME - len(os.fsencode(ending))]
    return kept.decode("utf-8", "ignore") + ending


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name beside ``path``, then rename; nothing is left on failure.

    Raises:
        OSError: the folder does not exist or the disk is full; ``path`` keeps what it held.
    """
    prefix = f".{path.name[:40]}."  # at most 160 of the bytes that a name may have
    descriptor, temporary = tempfile.mkstemp(prefix=prefix, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)  # mkstemp's own mode would lock others out
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def file_digest(path: Path) -> str:
    """The sha256 of an ordinary file's content, hexadecimal."""
    with open_ordinary(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_if_there(path: Path) -> str | None:
    """``file_digest``, or None for a file that cannot be read, or no longer."""
    try:
        return file_digest(path)
    except OSError:
        return None


def write_files(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files of these names, each by ``write_atomically``; their paths, in order."""
    paths = [folder / name for name in contents]
    for path in paths:
        write_atomically(path, contents[path.name])
    return paths


def csv_bytes(rows: Sequence[Mapping[str, object]]) -> bytes:
    r"""A table with one header line as CSV (UTF-8); all rows have the first one's columns.

    Bytes of file names that are no UTF-8 are written as Python's ``\udcfc``.
    """
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode("utf-8", "backslashreplace")
