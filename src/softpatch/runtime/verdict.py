"""What a score means: one of three verdicts, and how seldom good images score as high."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

Verdict = Literal["good", "look", "bad"]
Floats = npt.NDArray[np.float64]
WORDS: dict[Verdict, str] = {"good": "good", "look": "look at it", "bad": "bad"}


def verdict_of(score: float, threshold: float | None, look: float | None) -> Verdict | None:
    """``bad`` above the threshold, else ``look`` above the look limit, else ``good``.

    None without a threshold. A look limit of None, or one that is not below the threshold, leaves
    two verdicts.
    """
    if threshold is None:
        return None
    if score > threshold:
        return "bad"
    return "look" if look is not None and score > look else "good"


def p_value(score: float, reference: Floats) -> float:
    """Of good images about the share that scores at least as high: (1 + #{r >= s}) / (n + 1).

    A conformal p-value. If good images to come are exchangeable with those of the reference, and
    these are good, then P(p <= a) <= a for every a. Bad ones among the reference make p larger.

    Args:
        score: of an image that the reference is not from.
        reference: ``(n,)`` scores of good images, ascending.
    """
    count = len(reference)
    as_high = count - int(np.searchsorted(reference, score, side="left"))
    return (1 + as_high) / (count + 1)


def rarity(p: float, count: int) -> str:
    """A p-value from ``count`` images in words; the least one possible only says "fewer than"."""
    of_thousand = max(1, round(1000 * p))
    words = "fewer than" if p * (count + 1) < 1.5 else "about"
    return f"of 1,000 good pictures {words} {of_thousand:,} score this high"


def tally(verdicts: Iterable[Verdict | None]) -> str | None:
    """Such as ``2 of 10 pictures are bad, 1 to look at, 7 good``; None without verdicts."""
    found = [verdict for verdict in verdicts if verdict is not None]
    if not found:
        return None
    bad, look, good = (found.count(one) for one in ("bad", "look", "good"))
    return f"{bad} of {len(found)} pictures are bad, {look} to look at, {good} good"
