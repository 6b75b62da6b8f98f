"""The origin of a version of a model, kept in its file; depends on contents alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from softpatch.runtime.files import file_digest

DIGITS = 16  # of a sha256, by which a model knows its images again


@dataclass(frozen=True)
class Lineage:
    """The origin of one version of a model."""

    version: int = 1  # of a fit, then counted in the order of writing
    parents: tuple[str, ...] = ()  # sha256 of the files it was made from; several for a merge
    added: int = 0  # images that an update added

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> Self:
        """Read the entry ``lineage``, which files of a fit lack.

        ValueError, TypeError or KeyError if it is damaged.
        """
        if "lineage" not in header:
            return cls()
        entry = header["lineage"]
        version, added, parents = entry["version"], entry["added"], entry["parents"]
        numbers = all(isinstance(number, int) for number in (version, added))
        if not numbers or version < 1 or added < 0 or not all(isinstance(p, str) for p in parents):
            raise ValueError("the lineage is damaged")
        return cls(version, tuple(parents), added)

    def to_header(self) -> dict[str, Any]:
        """``{"lineage": ...}``; empty for a fit that was not updated."""
        return {} if self == type(self)() else {"lineage": asdict(self)}


def image_digests(names: Iterable[str | Path]) -> list[str | None]:
    """By which images are known again, whatever they are called; None for what is no file."""
    return [_image_digest(Path(name)) for name in names]


def _image_digest(path: Path) -> str | None:
    try:
        return file_digest(path)[:DIGITS] if path.is_file() else None
    except OSError:  # it has gone since, or is no name of a file
        return None
