"""Whether a model calls more pictures bad than it would of good ones."""

from __future__ import annotations

import math

CHANCE = 0.01  # that as many good pictures are called bad; below it they are not taken for good


def too_many(called: int, pictures: int, expected: float) -> bool:
    """Whether so many of some pictures are called bad that they will hardly all be good.

    They are if good ones would give as many with a chance below ``CHANCE``, or if they are most
    of the pictures: of one or two, chance alone says little.

    Args:
        called: how many are called bad.
        pictures: how many there are.
        expected: share of good pictures that is called bad, in (0, 1).
    """
    return 2 * called > pictures or _at_least(called, pictures, expected) < CHANCE


def _at_least(count: int, of: int, share: float) -> float:
    """P(at least ``count`` of so many), each with a probability of ``share``."""
    return math.fsum(
        math.exp(
            math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
            + k * math.log(share) + (of - k) * math.log1p(-share)
        )
        for k in range(count, of + 1)
    )  # fmt: skip
