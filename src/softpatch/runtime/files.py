"""Files: opened if they are ordinary, written so that nobody ever sees half of one, and as CSV."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from numbers import Number
from pathlib import Path

from .partial import partial_file

# What a spreadsheet takes for a formula, behind any number of apostrophes.
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
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

    What an earlier run left there that was killed before its rename is removed.

    Raises:
        OSError: the folder does not exist or the disk is full; ``path`` keeps what it held.
    """
    try:
        with _complete(path.parent, content) as temporary:
            temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # nobody has heard of the temporary name
        raise


@contextmanager
def _complete(folder: Path, content: bytes) -> Iterator[Path]:
    """A file of a temporary name that holds this, on disk, for the block to rename."""
    with partial_file(folder) as (descriptor, temporary):
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's own mode would lock others out
        if sys.platform == "win32":  # which renames no open file
            os.close(descriptor)
        yield temporary


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
    """Write files of these names that only mean something together; their paths, in order.

    The old ones go once all new ones are on disk, and before the first of these appears: a kill may
    leave some of a set, but never one file of this run beside another of the last.

    Raises:
        OSError: the folder does not exist or the disk is full; the files keep what they held.
    """
    paths = [folder / name for name in contents]
    with ExitStack() as stack:
        written = [stack.enter_context(_complete(folder, contents[path.name])) for path in paths]
        for path in paths:
            path.unlink(missing_ok=True)
        for temporary, path in zip(written, paths, strict=True):
            temporary.replace(path)
    return paths


def csv_bytes(rows: Sequence[Mapping[str, object]]) -> bytes:
    r"""A table with one header line as CSV (UTF-8); all rows have the first one's columns.

    A text that a spreadsheet would take for a formula has an apostrophe put before it, which
    ``csv_rows`` takes away. Bytes of file names that are no UTF-8 are written as Python's
    ``\udcfc``.
    """
    lines = _Lines()
    columns = list(rows[0]) if rows else []
    # A cell with a part of the line's end in it is quoted: so, one with "\r" alone as well.
    writer = csv.DictWriter(lines, columns, lineterminator="\r\n")
    writer.writerow({column: _as_text(column) for column in columns})
    writer.writerows({column: _as_text(value) for column, value in row.items()} for row in rows)
    return "".join(lines).encode("utf-8", "backslashreplace")


def csv_rows(content: bytes) -> list[dict[str, str]]:
    """The rows of a table that ``csv_bytes`` has written, as texts.

    Raises:
        UnicodeDecodeError, csv.Error, ValueError: it is no such table.
    """
    lines = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    columns, *rows = [[_from_text(cell) for cell in line] for line in lines]
    return [dict(zip(columns, row, strict=True)) for row in rows]


class _Lines(list[str]):
    """Takes lines as a file does; they end the same on every system."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def _as_text(value: object) -> object:
    if value is None or isinstance(value, Number):
        return value
    text = str(value)
    return f"'{text}" if FORMULA.match(text) else text


def _from_text(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
