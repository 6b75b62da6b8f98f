"""What can go wrong with a training set: which pictures each kind of contamination draws from.

See docs/contamination.md for what each models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from softpatch.datasets.contamination.severity import severity
from softpatch.datasets.samples import Category, Sample
from softpatch.errors import UsageError

# name -> what it injects, as errors call it
NOUNS: Mapping[str, str] = MappingProxyType(
    {
        "defects": "defective pictures",
        "mild": "mildly defective pictures",
        "one-type": "defective pictures of one type",
        "near-duplicates": "copies of a defective picture",
        "other-category": "pictures of other categories",
        "capture-faults": "training pictures",
        "difficult": "hard defective pictures",
    }
)
KINDS: tuple[str, ...] = tuple(NOUNS)


def candidates(category: Category, kind: str, others: Sequence[Category] = ()) -> list[Sample]:
    """Every picture a kind may inject.

    Raises:
        UsageError: no kind of that name.
    """
    if kind not in KINDS:
        raise UsageError(f"no contamination kind is called {kind!r}; there are {', '.join(KINDS)}")
    if kind == "capture-faults":
        return list(category.train)
    if kind == "other-category":
        strangers = [other for other in others if other.folder != category.folder]
        # Called by what they show, which is what is wrong with them here.
        return [Sample(s.path, other.name) for other in strangers for s in other.train]
    return list(category.defects)


def pools(
    category: Category,
    kind: str,
    others: Sequence[Category] = (),
    difficulty: Mapping[Path, float] | None = None,
) -> list[list[Sample]]:
    """What one draw chooses from: all of its pictures come from one of these pools.

    Raises:
        UsageError: no kind of that name.
        DatasetError, ImageError: ``mild``, where a picture or mask cannot be used.
    """
    pictures = candidates(category, kind, others)
    if kind == "one-type":
        types = sorted({sample.kind for sample in pictures})
        return [[sample for sample in pictures if sample.kind == name] for name in types]
    if kind == "mild":
        rated = {sample: severity(sample) for sample in pictures if sample.masks}
        return [_lower_half({sample: size for sample, size in rated.items() if size > 0})]
    if kind == "difficult":
        if difficulty is None:  # how many there are can be told all the same
            return [pictures[: _half(len(pictures))]]
        return [_lower_half({s: -difficulty[s.path] for s in pictures if s.path in difficulty})]
    return [pictures]


def largest_count(kind: str, choice: Sequence[Sequence[Sample]]) -> float:
    """How many pictures one draw can have at most; infinitely many copies of one."""
    most = max(map(len, choice), default=0)
    return float("inf") if kind == "near-duplicates" and most else most


def pick(kind: str, choice: Sequence[list[Sample]], count: int, seed: int) -> tuple[Sample, ...]:
    """``count`` pictures of one pool that is large enough, in the pool's order."""
    if count == 0:
        return ()
    random = np.random.default_rng(seed)
    if kind == "near-duplicates":
        [pool] = choice
        return (pool[random.integers(len(pool))],) * count
    large = [pool for pool in choice if len(pool) >= count]
    # A single pool costs no random number: draws of "defects" stay what they were.
    pool = large[random.integers(len(large))] if len(large) > 1 else large[0]
    return tuple(pool[index] for index in sorted(random.permutation(len(pool))[:count]))


def _lower_half(rated: Mapping[Sample, float]) -> list[Sample]:
    """The half with the lowest values, in the data set's order."""
    lowest = sorted(rated, key=lambda sample: (rated[sample], sample.path))
    chosen = set(lowest[: _half(len(rated))])
    return [sample for sample in rated if sample in chosen]


def _half(count: int) -> int:
    return (count + 1) // 2
