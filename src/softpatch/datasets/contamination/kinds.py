"""Kinds of contamination: which pictures each draws from.

See docs/contamination.md for what each models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from softpatch.datasets.samples import Category, Sample, read_mask
from softpatch.errors import UsageError
from softpatch.runtime.images import decode

MARGIN = 0.05  # around a defect's bounding box, as a share of the picture's shorter side
# name -> what it injects, for error messages
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
    """All pictures that a kind may inject.

    Raises:
        UsageError: no kind has that name.
    """
    if kind not in KINDS:
        raise UsageError(f"no contamination kind is called {kind!r}; there are {', '.join(KINDS)}")
    if kind == "capture-faults":
        return list(category.train)
    if kind == "other-category":
        own = (category.folder, category.name)  # some sets have one folder for all categories
        strangers = [other for other in others if (other.folder, other.name) != own]
        # Their kind is the category they show, as that is what is wrong with them here.
        return [Sample(s.path, other.name) for other in strangers for s in other.train]
    return list(category.defects)


def pools(
    category: Category,
    kind: str,
    others: Sequence[Category] = (),
    difficulty: Mapping[Path, float] | None = None,
) -> list[list[Sample]]:
    """Pools of pictures; each draw takes all of its pictures from one of them.

    Raises:
        UsageError: no kind has that name.
        DatasetError, ImageError: a picture or mask cannot be used (``mild`` only).
    """
    pictures = candidates(category, kind, others)
    if kind == "one-type":
        types = sorted({sample.kind for sample in pictures})
        return [[sample for sample in pictures if sample.kind == name] for name in types]
    if kind == "mild":
        rated = {sample: severity(sample) for sample in pictures if sample.masks}
        return [_lower_half({sample: size for sample, size in rated.items() if size > 0})]
    if kind == "difficult":
        if difficulty is None:  # only their number is asked for
            return [pictures[: _half(len(pictures))]]
        return [_lower_half({s: -difficulty[s.path] for s in pictures if s.path in difficulty})]
    return [pictures]


def largest_count(kind: str, choice: Sequence[Sequence[Sample]]) -> float:
    """Most pictures that one draw can have; copies of one picture have no limit."""
    most = max(map(len, choice), default=0)
    return float("inf") if kind == "near-duplicates" and most else most


def pick(kind: str, choice: Sequence[list[Sample]], count: int, seed: int) -> tuple[Sample, ...]:
    """Draw ``count`` pictures from one pool that is large enough, in the pool's order."""
    if count == 0:
        return ()
    random = np.random.default_rng(seed)
    if kind == "near-duplicates":
        [pool] = choice
        return (pool[random.integers(len(pool))],) * count
    large = [pool for pool in choice if len(pool) >= count]
    # A single pool uses no random number, so that draws of "defects" stay the same.
    pool = large[random.integers(len(large))] if len(large) > 1 else large[0]
    return tuple(pool[index] for index in sorted(random.permutation(len(pool))[:count]))


@cache  # a benchmark asks again in every cell, and reading 63 bottles takes seconds
def severity(sample: Sample) -> float:
    """How bad a defect looks: its share of the picture times its contrast.

    Contrast is the mean absolute difference, over defective pixels and colours, to the mean colour
    of the surroundings: the rest of the masks' bounding box, widened by a margin. A difference of
    mean colours would make a scratch with one bright and one dark edge invisible. If the defect
    fills the box, contrast is 1.

    Returns:
        in [0, 1]; 0 if no pixel is marked.
    """
    values = decode(sample.path).values  # (H, W, 1|3)
    picture = values / np.float32(255) if values.dtype == np.uint8 else values
    picture = np.broadcast_to(picture, (*picture.shape[:2], 3)).transpose(2, 0, 1)
    mask = read_mask(sample, picture.shape[1:])  # (H, W)
    if not mask.any():
        return 0.0
    share = float(mask.mean())
    margin = round(MARGIN * min(mask.shape))
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )
    mask, picture = mask[box], picture[:, *box]
    if mask.all():
        return share
    surrounding = picture[:, ~mask].mean(axis=1, keepdims=True)  # (3, 1)
    return share * float(np.abs(picture[:, mask] - surrounding).mean())


def _lower_half(rated: Mapping[Sample, float]) -> list[Sample]:
    """The half with the lowest values, in the data set's order."""
    lowest = sorted(rated, key=lambda sample: (rated[sample], sample.path))
    chosen = set(lowest[: _half(len(rated))])
    return [sample for sample in rated if sample in chosen]


def _half(count: int) -> int:
    return (count + 1) // 2
