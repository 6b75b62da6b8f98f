"""Stand-in until the dataset readers and contamination kinds are merged; then this goes."""

from __future__ import annotations

from typing import Any

from softpatch.datasets.contamination import Contamination
from softpatch.datasets.contamination import contaminate as _contaminate
from softpatch.datasets.samples import Category

KINDS = ("defects",)


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
