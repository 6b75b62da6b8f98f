"""What a limit costs: of good pictures to come, the share that it stops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

SHARES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Cost:
    """Of one limit.

    Attributes:
        limit: pictures with a larger score are stopped.
        expected: share of good pictures that are, in expectation over training sets; None where no
            training pictures tell.
        least: whether it may be less, as the limit is above all of these.
    """

    limit: float
    expected: float | None
    least: bool


def costs_of(good: Floats, others: Iterable[float] = ()) -> list[Cost]:
    """Of limits that stop about ``SHARES`` of the good pictures, the highest limit first.

    A new good picture is as likely to have any rank among the n training pictures.

    Args:
        good: ``(n,)`` held-out scores of training pictures that count as good, ascending.
        others: limits to have among them.
    """
    count = len(good)
    ranks = {max(1, int(share * (count + 1))) for share in SHARES}
    limits = {float(good[-rank]) for rank in ranks if rank <= count} | set(others)
    found = []
    for limit in sorted(limits, reverse=True):
        above = int((good > limit).sum())
        expected = (above + 1) / (count + 1) if count else None
        found.append(Cost(limit, expected, bool((good < limit).all())))
    return found
