"""Data sets that come in a Python package: opened by name, where others are a folder."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from softpatch.errors import MissingExtraError


@dataclass(frozen=True)
class Package:
    """A Python package that holds a data set.

    Attributes:
        module: its import name; it is not imported.
        folder: of the data set, in the package's own.
        extra: of softpatch, which installs it.
    """

    module: str
    folder: str
    extra: str

    def root(self) -> Path:
        """The folder of the data set.

        Raises:
            MissingExtraError: the package is not installed.
        """
        found = find_spec(self.module)
        places = list(found.submodule_search_locations or ()) if found else []
        if not places:
            raise MissingExtraError(self.extra, f"the data set {self.extra}")
        return Path(places[0]) / self.folder
