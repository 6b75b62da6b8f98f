"""A folder imports the folders below it, and none beside or above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "softpatch"
FLOORS = (
    ("runtime",),  # without torch: a distribution of its own, too
    ("errors", "ranges", "_version"),
    ("compute",),
    ("images", "bank", "storage", "calling"),
    ("features", "noise", "predictions", "datasets"),
    ("detectors", "pages"),
    ("auditing", "evaluation", "export", "watch", "serving"),
    ("fleet", "benchmark"),
    ("distributed",),
    ("cli",),
)
FLOOR = {folder: height for height, floor in enumerate(FLOORS) for folder in floor}


def imported(path: Path) -> Iterator[str]:
    """Folders of softpatch that a file imports, those needed for its types included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "softpatch":
                yield from parts[1:2] or (name.name for name in node.names)


@pytest.mark.parametrize("folder", sorted(FLOOR))
def test_imports_only_what_is_below(folder: str) -> None:
    home = PACKAGE / folder
    for path in home.rglob("*.py") if home.is_dir() else [home.with_suffix(".py")]:
        for other in set(imported(path)) - {folder}:
            assert FLOOR[other] < FLOOR[folder], f"{path.name} of {folder} imports {other}"


def test_every_folder_has_a_floor() -> None:
    inside = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert inside - {"__init__", "__pycache__"} == set(FLOOR)
