"""A distribution-free two-sample test: are new numbers in the tails of old ones too often?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softpatch.calling.contamination import suspicious

Floats = npt.NDArray[np.floating]

OUTSIDE = 0.1  # share of good old numbers in the tails; with less, one bad one moves their ends
NORMAL_QUANTILE = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class Comparison:
    """New numbers against old ones."""

    new: int  # number of them, at least 1
    outside: int  # how many are in the tails of the good old ones
    low: float  # 95 % interval of the share outside
    high: float
    expected: float  # share outside if nothing has changed
    chance: float  # p-value: the chance of ``outside`` or more if nothing has changed
    least: float  # the smallest p-value possible, that of all new ones outside


def compare(new: Floats, old: Floats) -> Comparison:
    """Compare ``(m,)`` new numbers, at least 1, with ``(n,)`` old ones, at least 2, all above 0.

    If nothing has changed, all orders of the m + n numbers are equally likely, and the number of
    new ones in given gaps of the n + 1 between old ones is beta-binomial, whatever the numbers'
    distribution. The tails begin where those of the good old pictures do, as bad ones would move
    them far out; but the gaps of bad ones count, as there are bad ones among the new pictures, too.
    """
    usual = np.sort(old[~suspicious(old)])
    rank = max(1, int(OUTSIDE / 2 * (len(usual) + 1)))
    lowest, highest = usual[rank - 1], usual[-rank]
    gaps = int(((old <= lowest) | (old >= highest)).sum())
    outside = int(((new < lowest) | (new > highest)).sum())
    law = [_chance(count, len(new), gaps, len(old)) for count in range(len(new) + 1)]
    low, high = _interval(outside, len(new))
    expected, chance = gaps / (len(old) + 1), min(1.0, math.fsum(law[outside:]))
    return Comparison(len(new), outside, low, high, expected, chance, least=law[-1])


def _chance(count: int, new: int, gaps: int, old: int) -> float:
    """P(``count`` of the new numbers are in ``gaps`` of the ``old`` + 1 gaps between old ones).

    Which gaps does not matter, as all are equally likely: the share of orders of old and new that
    put ``count`` new numbers into those gaps.
    """
    return math.exp(
        _log_ways(count + gaps - 1, count)
        + _log_ways(new - count + old - gaps, new - count)
        - _log_ways(new + old, new)
    )


def _log_ways(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)


def _interval(count: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = NORMAL_QUANTILE, count / total
    middle = share + z**2 / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    whole = 1 + z**2 / total
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)
