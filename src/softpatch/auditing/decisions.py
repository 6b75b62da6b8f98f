"""Decisions of people about pictures, in a file.

::

    {"format": "softpatch-decisions", "version": 1, "folder": "/data/photos",
     "decisions": {"left/7.png": "remove", "left/8.png": "keep"},
     "sha256": {"left/7.png": "0f3c...", "left/8.png": "77aa..."}}

Paths are relative to the folder, with slashes. The digests are those of the files that were shown;
a file without one is not checked, so that decisions can be written by hand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from softpatch.errors import DatasetError
from softpatch.runtime.files import file_digest

FORMAT = "softpatch-decisions"
VERSION = 1
DECISIONS = ("keep", "remove", "unsure")


@dataclass(frozen=True)
class Decisions:
    """The content of a decisions file.

    Attributes:
        remove: relative paths of the pictures to be removed, sorted.
        keep: of those that are good, sorted.
        folder: that the paths are relative to; None if the file does not say.
        sha256: relative path -> hexadecimal digest of the file that was shown.
        odd: what is wrong with entries that cannot be followed, in words.
    """

    remove: tuple[str, ...]
    keep: tuple[str, ...]
    folder: Path | None
    sha256: Mapping[str, str]
    odd: tuple[str, ...] = ()

    def still_holds(self, path: Path, name: str) -> bool:
        """Whether the file has not changed since the decision."""
        return name not in self.sha256 or file_digest(path) == self.sha256[name]


def read_decisions(path: Path) -> Decisions:
    """Read a decisions file.

    Raises:
        DatasetError: it is missing, damaged, of another format or a later version, or nothing in
            it can be followed.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']!r}; this program reads {VERSION}")
        decisions, digests = dict(content["decisions"]), dict(content.get("sha256") or {})
        odd = {name: words for name in decisions if (words := _odd(name, decisions[name]))}
        if odd and len(odd) == len(decisions):
            raise ValueError(next(iter(odd.values())))
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file of decisions") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not a file of decisions ({_in_words(error)})") from error
    remove, keep = (
        tuple(sorted(name for name in decisions if decisions[name] == way and name not in odd))
        for way in ("remove", "keep")
    )
    folder = content.get("folder")
    digests = {name: str(digest) for name, digest in digests.items() if name in decisions}
    return Decisions(
        remove,
        keep,
        Path(folder) if isinstance(folder, str) and folder and "\0" not in folder else None,
        MappingProxyType(digests),
        tuple(odd.values()),
    )


def without_removed(
    pictures: Iterable[Path], folder: Path, decisions: Decisions
) -> tuple[list[Path], list[str]]:
    """Leave out the pictures below ``folder`` that are to be removed.

    Returns:
        the pictures that stay, and the names to be removed that are not among the pictures: most
        likely they have been removed already.

    Raises:
        DatasetError: a file to be removed has changed since the decision.
    """
    unwanted = set(decisions.remove)
    kept = []
    for path in pictures:
        name = path.relative_to(folder).as_posix()
        if name not in unwanted:
            kept.append(path)
            continue
        unwanted.remove(name)
        if not decisions.still_holds(path, name):
            raise DatasetError(f"{path}: has changed since it was decided about; audit again")
    return kept, sorted(unwanted)


def stays_inside(name: object) -> bool:
    """Whether a relative path with slashes cannot leave its folder.

    A colon or a backslash in a name is like any other character, except on Windows.
    """
    if not isinstance(name, str) or "\0" in name:
        return False
    if os.name == "nt" and (":" in name or "\\" in name):
        return False
    parts = PurePosixPath(name).parts
    return bool(parts) and ".." not in parts and parts[0] != "/" and "/".join(parts) == name


def _odd(name: str, decision: object) -> str | None:
    """Why a decision cannot be followed; None if it can."""
    if not stays_inside(name):
        return f"{name!r} is no path inside the folder"
    if decision not in DECISIONS:
        return f"{name} is to be {decision!r}, not {', '.join(DECISIONS)}"
    return None


def _in_words(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
