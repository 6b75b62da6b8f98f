"""Suspects that show one kind of thing where they are oddest: a defect that recurs, most likely.

Whatever tells bad pictures by what is rare tells these least; together they are soon decided about.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from softpatch.detectors.oddest import OddestSpots

# Mean of 1 - cosine up to which two groups are one, and the share of pairs of good pictures that
# may be as alike: see docs/audit.md, "Suspects of one kind".
ALIKE = 0.5
BY_CHANCE = 0.02
LEAST = 3  # pictures of a group


def groups_of(spots: OddestSpots, pictures: int, alike: float = ALIKE) -> list[int | None]:
    """The group of each of so many pictures, from 1 on in order of suspicion; None is alone."""
    unrelated = _apart(spots.usual)[np.triu_indices(len(spots.usual), 1)]
    if len(unrelated):
        alike = min(alike, float(np.quantile(unrelated, BY_CHANCE)))
    found = _linked(_apart(spots.looks), alike)
    images, group = spots.images.tolist(), list[int | None]([None] * pictures)
    for number, members in enumerate((one for one in found if len(one) >= LEAST), start=1):
        for at in members:
            group[images[at]] = number
    return group


def _apart(looks: Tensor) -> npt.NDArray[np.float64]:
    """``(n, D)`` -> ``(n, n)``: 1 - cosine, of two and two."""
    unit = F.normalize(looks.double(), dim=1)
    return np.asarray((1 - unit @ unit.T).cpu().numpy())


def _linked(apart: npt.NDArray[np.float64], alike: float) -> list[list[int]]:
    """Agglomerative clustering by average linkage of ``(n, n)`` distances, until ``alike``."""
    count = len(apart)
    members = [[at] for at in range(count)]
    np.fill_diagonal(apart, np.inf)
    while count and apart.min() <= alike:
        one, other = divmod(int(apart.argmin()), count)  # one < other: the first of equals
        sizes = len(members[one]), len(members[other])
        mean = (sizes[0] * apart[one] + sizes[1] * apart[other]) / sum(sizes)
        apart[one] = apart[:, one] = mean
        apart[one, one] = np.inf
        apart[other] = apart[:, other] = np.inf
        members[one] += members[other]
        members[other] = []
    return [sorted(group) for group in members if group]
