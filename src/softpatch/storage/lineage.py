"""The origin of a version of a model, kept in its file; depends on contents alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Lineage:
    """The origin of one version of a model.

    Attributes:
        version: 1 for a fit, then counted in the order of writing.
        parents: sha256 of the model files it was made from; none for a fit, several for a merge.
        added: number of images that an update added.
    """

    version: int = 1
    parents: tuple[str, ...] = ()
    added: int = 0

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> Self:
        """Read the entry ``lineage``; files of a fit have none.

        Raises:
            ValueError, TypeError, KeyError: the entry is damaged.
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
