"""Stand-in until the dataset readers and contamination kinds are merged; then this goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softpatch.datasets.contamination import Contamination
from softpatch.datasets.contamination import contaminate as _contaminate
from softpatch.datasets.mvtec import Category, read_category
from softpatch.errors import DatasetError

KINDS = ("defects",)


@dataclass(frozen=True)
class Layout:
    name: str = "mvtec"


@dataclass(frozen=True)
class Dataset:
    layout: Layout
    root: Path
    categories: tuple[str, ...]

    def read(self, name: str) -> Category:
        return read_category(self.root / name)


def open_dataset(root: Path, layout: str | None = None) -> Dataset:
    found = sorted(p.parent.name for p in root.glob("*/train"))
    if not found:
        raise DatasetError(f"{root}: no categories in MVTec layout")
    return Dataset(Layout(), root, tuple(found))


def find_problems(category: Category) -> list[str]:
    masks = sum(s.mask is None for s in category.defects)
    return [f"{masks} defective pictures without a mask"] if masks else []


def contaminate(
    category: Category,
    noise: float,
    *,
    kind: str = "defects",
    others: Any = (),
    difficulty: Any = None,
    **rest: Any,
) -> Contamination:
    return _contaminate(category, noise, **rest)
