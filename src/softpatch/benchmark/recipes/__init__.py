"""Experiments by name: one readable YAML file each, in this folder."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from softpatch.errors import UsageError

FOLDER = Path(str(files(__name__)))


def recipe_names() -> list[str]:
    """Every recipe there is."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """The file of a recipe; UsageError if there is none of that name."""
    if name not in recipe_names():
        raise UsageError(f"no recipe is called {name!r}; there are {', '.join(recipe_names())}")
    return FOLDER / f"{name}.yaml"
