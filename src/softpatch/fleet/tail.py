"""How many new scores lie where few old ones did, and whether that can be chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softpatch.contamination import chance_of_bad
from softpatch.threshold import SUSPECT

Floats = npt.NDArray[np.floating]

TAIL = 0.05  # share of unsuspected training pictures above the level
NORMAL_QUANTILE = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class Tail:
    """New scores against those of training pictures that were held out.

    Attributes:
        scored: new scores, at least 1.
        level: the score that 5 % of the training pictures exceed, suspects left out.
        above: how many of the new ones exceed it.
        low, high: 95 % interval of the share that do.
        expected: the share that would if nothing had changed. Suspects are back in: there are bad
            pictures among the new ones, too.
        chance: of so many or more if nothing had changed.
        least: the chance of all of them, below which no number of them could lie.
    """

    scored: int
    level: float
    above: int
    low: float
    high: float
    expected: float
    chance: float
    least: float


def compare(scores: Floats, held_out: Floats) -> Tail:
    """Compare ``(m,)`` new scores with ``(n,)`` old ones, at least one of each.

    If nothing has changed, each order of the m + n scores is as likely. How many new ones exceed
    the r-th largest old one then follows a beta-binomial law, whatever the law of the scores.
    """
    good = np.sort(held_out[chance_of_bad(held_out) <= SUSPECT])
    level = good[-max(1, int(TAIL * (len(good) + 1)))]
    rank = int((held_out >= level).sum())
    above = int((scores > level).sum())
    law = [_chance(count, len(scores), rank, len(held_out)) for count in range(len(scores) + 1)]
    low, high = _interval(above, len(scores))
    return Tail(
        scored=len(scores),
        level=float(level),
        above=above,
        low=low,
        high=high,
        expected=rank / (len(held_out) + 1),
        chance=min(1.0, math.fsum(law[above:])),
        least=law[-1],
    )


def _chance(count: int, new: int, rank: int, old: int) -> float:
    """P(``count`` of the new ones exceed the ``rank``-th largest of the old ones).

    Of all orders of old and new, in those so many new and rank - 1 old ones lie above that one.
    """
    return math.exp(
        _log_ways(count + rank - 1, count)
        + _log_ways(new - count + old - rank, new - count)
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
