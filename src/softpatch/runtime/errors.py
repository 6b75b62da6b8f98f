"""The errors that the runtime raises and softpatch builds on; each message is one line.

It names the thing at fault and says what to do.
"""

import io
from typing import TextIO


class SoftPatchError(Exception):
    """Base of every error raised on purpose."""


RuntimeFault = SoftPatchError  # its name in softpatch_runtime


class UsageError(SoftPatchError, ValueError):
    """A wrong argument; a command exits with 2."""


def last_words(error: Exception) -> tuple[str, int]:
    """The line that a command ends with, and its exit code: 2 for bad use, else 1."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", 1
    return str(error), 2 if isinstance(error, UsageError) else 1


class ImageError(SoftPatchError):
    """An image that cannot be used.

    Attributes:
        name: the file's path, or ``image 3`` for the third array of a list.
        reason: what is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def any_character(*streams: TextIO | None) -> None:
    """Let streams that people read escape what their encoding lacks, instead of failing."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def reason_of(error: Exception) -> str:
    """What is wrong with one thing among others, in a line that need not name it again."""
    if isinstance(error, ImageError):
        return error.reason
    if isinstance(error, MemoryError):
        return "too little memory for it"
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    words = " ".join(words.split())
    known = isinstance(error, SoftPatchError | OSError)
    return words if known and words else f"{type(error).__name__}: {words}"


class DatasetError(SoftPatchError):
    """A folder that is not laid out as expected."""


class ModelFileError(SoftPatchError):
    """A model file that is cut, foreign, newer or hostile, or that nothing installed can run."""
