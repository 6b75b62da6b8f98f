"""The errors that the runtime raises and softpatch builds on; each message is one line.

It names the thing at fault and says what to do.
"""

from __future__ import annotations

import errno
import io
import re
import unicodedata
from collections.abc import Sequence
from typing import TextIO


class SoftPatchError(Exception):
    """Base of every error raised on purpose."""


RuntimeFault = SoftPatchError  # its name in softpatch_runtime


class UsageError(SoftPatchError, ValueError):
    """A wrong argument; a command exits with 2."""


class OutOfMemoryError(SoftPatchError, MemoryError):
    """What is to be done takes more memory than there is; the message says how much."""


# What torch, ONNX Runtime, OpenVINO and the loader of libraries say, without a class of error.
SIGNS = (
    "allocate memory", "out of memory", "not enough memory", "bad_alloc", "bad allocation",
    "failed to map segment", "can't start new thread",
    # The interpreter, of functions that have failed without a word for want of memory.
    "without setting an exception", "without exception set", "with an exception set",
)  # fmt: skip


# Controls, invisible marks that turn the direction for example, separators of lines, lone bytes;
# but not what joins or parts letters and emoji.
STEERING, JOINERS = ("Cc", "Cf", "Zl", "Zp", "Cs"), "\u200c\u200d"


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, of torch or the system for example, means that memory has run out.

    So does what came of such an error.
    """
    if error is None:
        return False
    number = getattr(error, "errno", None)
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return True
    # One with a number is of the system, and says no more than that and a name.
    says = number is None and any(sign in str(error).lower() for sign in SIGNS)
    return says or is_out_of_memory(error.__cause__ or error.__context__)


def memory_asked(error: BaseException) -> float:
    """How many bytes were asked for in vain; 0 where the error does not say."""
    found = re.search(r"allocate ([0-9.]+) ?(bytes|[KMGT]iB)", str(error))
    units = {"b": 1.0, "K": 2.0**10, "M": 2.0**20, "G": 2.0**30, "T": 2.0**40}
    return 0 if found is None else float(found[1]) * units[found[2][0]]


def memory_needed(error: BaseException) -> str:
    """The same for a message: `` (1,200 MB more were needed)``, or nothing."""
    asked = memory_asked(error)
    return f" ({asked / 1e6:,.0f} MB more were needed)" if asked else ""


def last_words(error: Exception) -> tuple[str, int]:
    """The line that a command ends with, and its exit code: 2 for bad use, else 1."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", 1
    return str(error), 2 if isinstance(error, UsageError) else 1


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise UsageError for an empty one, which as a path would mean the working folder."""
    before = ""
    for argument in arguments:
        option, equals, value = argument.partition("=")
        given_with = option.startswith("--") and bool(equals)
        if not (value if given_with else argument):
            name = option if given_with else before if before.startswith("-") else "an argument"
            raise UsageError(f"{name} is empty; is a variable of the shell not set?")
        before = argument


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


class UnusableImageError(ImageError):
    """An image that was read and shows nothing that could be judged: black, blurred or cut."""


def printable(text: str) -> str:
    r"""The text as one line for people: what would steer their terminal is spelled out.

    So are the end of a line, as ``\n``, and bytes that are no UTF-8. Names may hold all of these.
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in STEERING and character not in JOINERS
        else character
        for character in text
    )


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
