"""Where a version of a model comes from; kept in its file, and a matter of contents alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Lineage:
    """One version of a model.

    Attributes:
        version: 1 for a fit, then in the order in which the versions of a file were written.
        parents: sha256 of the model files it was made from; none for a fit, several for a merge.
        added: pictures that an update has added.
    """

    version: int = 1
    parents: tuple[str, ...] = ()
    added: int = 0

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> Self:
        """Read the entry ``lineage``; files of a fit have none.

        Raises:
            ValueError, TypeError, KeyError: it is none.
        """
        if "lineage" not in header:
            return cls()
        entry = header["lineage"]
        version, added, parents = entry["version"], entry["added"], entry["parents"]
        numbers = all(isinstance(number, int) for number in (version, added))
        if not numbers or version < 1 or added < 0 or not all(isinstance(p, str) for p in parents):
            raise ValueError("the lineage is none")
        return cls(version, tuple(parents), added)

    def to_header(self) -> dict[str, Any]:
        """``{"lineage": ...}``, and nothing for a fit that was not updated."""
        return {} if self == type(self)() else {"lineage": asdict(self)}
