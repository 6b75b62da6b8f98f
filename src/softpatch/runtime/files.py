"""Writing files so that nobody ever sees half of one, their digests, and tables as CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name beside ``path``, then rename; nothing is left on failure.

    Raises:
        OSError: the folder does not exist or the disk is full; ``path`` keeps what it held.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
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
    """The sha256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_files(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files of these names, each by ``write_atomically``; their paths, in order."""
    paths = [folder / name for name in contents]
    for path in paths:
        write_atomically(path, contents[path.name])
    return paths


def csv_bytes(rows: Sequence[Mapping[str, object]]) -> bytes:
    """A table with one header line as CSV (UTF-8); all rows have the first one's columns."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()
