"""MPDD: painted metal parts, in MVTec AD's layout."""

from __future__ import annotations

from pathlib import Path

from softpatch.datasets import mvtec
from softpatch.datasets.layout import Layout

CATEGORIES = (
    "bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes",
)  # fmt: skip


def find(root: Path) -> dict[str, Path]:
    """The categories below ``root``, by name; none if any is not of this data set."""
    found = mvtec.find(root)
    return found if set(found) <= set(CATEGORIES) else {}


MPDD = Layout(
    name="mpdd",
    title="MPDD, Metal Parts Defect Detection",
    licence="none stated",
    url="https://github.com/stepanje/MPDD",
    categories=CATEGORIES,
    tree=mvtec.TREE,
    split=mvtec.PUBLISHED,
    find=find,
    read=mvtec.read,
)
