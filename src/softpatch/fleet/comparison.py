"""How many new numbers lie where few old ones did, and whether that can be chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softpatch.detectors.threshold import SUSPECT
from softpatch.noise.contamination import chance_of_bad

Floats = npt.NDArray[np.floating]

OUTSIDE = 0.1  # share of the usual old ones; of less, a single bad one would move the ends
NORMAL_QUANTILE = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class Comparison:
    """New numbers against old ones.

    Attributes:
        new: how many there are, at least 1.
        outside: how many of them lie beyond the few smallest or largest usual old ones.
        low, high: 95 % interval of the share that are.
        expected: the share that would be if nothing had changed.
        chance: of so many or more if nothing had changed.
        least: the chance of all of them, below which no number of them could lie.
    """

    new: int
    outside: int
    low: float
    high: float
    expected: float
    chance: float
    least: float


def compare(new: Floats, old: Floats) -> Comparison:
    """Compare ``(m,)`` new numbers, at least 1, with ``(n,)`` old ones, at least 2, all above 0.

    If nothing has changed, each order of the m + n numbers is as likely. How many new ones lie in
    so many of the n + 1 gaps between old ones then follows a beta-binomial law, whatever the law of
    the numbers. Where the outermost gaps begin is decided without bad pictures, which would move it
    far out, but their gaps count: there are bad ones among the new pictures, too.
    """
    usual = np.sort(old[chance_of_bad(old) <= SUSPECT])
    rank = max(1, int(OUTSIDE / 2 * (len(usual) + 1)))
    lowest, highest = usual[rank - 1], usual[-rank]
    gaps = int(((old <= lowest) | (old >= highest)).sum())
    outside = int(((new < lowest) | (new > highest)).sum())
    law = [_chance(count, len(new), gaps, len(old)) for count in range(len(new) + 1)]
    low, high = _interval(outside, len(new))
    return Comparison(
        new=len(new),
        outside=outside,
        low=low,
        high=high,
        expected=gaps / (len(old) + 1),
        chance=min(1.0, math.fsum(law[outside:])),
        least=law[-1],
    )


def _chance(count: int, new: int, gaps: int, old: int) -> float:
    """P(``count`` of the new numbers lie in ``gaps`` of the ``old`` + 1 gaps between old ones).

    Any gaps, since new numbers are as likely in each. Of all orders of old and new, so many put
    ``count`` into those gaps.
    """
    return math.exp(
        _log_ways(count + gaps - 1, count)
        + _log_ways(new - count + old - gaps, new - count)
        - _log_ways(new + old, new)
    )


def _log_ways(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)


def _interval(count: int, total: int) -> tuple[float, float]:
    """Wilson's, of a share."""
    z, share = NORMAL_QUANTILE, count / total
    middle = share + z**2 / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    whole = 1 + z**2 / total
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)
