"""A decision threshold, without labels or with a few.

Without labels it comes from the training pictures' own scores, each by the memory bank without the
vectors of that picture, as if the bank had not seen it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softpatch.calling.contamination import suspicious
from softpatch.errors import DatasetError
from softpatch.ranges.table import check

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it promises.

    Attributes:
        value: pictures with a larger score are called anomalous.
        max_false_alarms: the share of good pictures that may be, as asked for.
        pictures: training pictures that it rests on, suspects left out.
        expected: share of good pictures that will be, in expectation over training sets.
        confidence: that at most ``max_false_alarms`` of them will be, given so few pictures.
    """

    value: float
    max_false_alarms: float
    pictures: int
    expected: float
    confidence: float

    def __str__(self) -> str:
        return (
            f"threshold {self.value:.6g}: about {self.expected:.1%} of good pictures exceed it, "
            f"and {self.confidence:.0%} sure at most {self.max_false_alarms:.1%} "
            f"({self.pictures} training pictures)"
        )


def threshold_without_labels(
    scores: Floats, max_false_alarms: float, known_good: npt.NDArray[np.bool_] | None = None
) -> Threshold:
    """Choose by scores of pictures of which most are good.

    A new good picture is as likely to have any rank among the n good training pictures, so that
    it exceeds the r-th largest of them with probability r / (n + 1). r is the largest one that
    keeps this below ``max_false_alarms``, but at least 1: few pictures cannot promise a low rate,
    and ``expected`` then says which they can.

    Args:
        scores: ``(N,)`` image scores, above 0, none from a bank that holds the picture's patches.
        max_false_alarms: share of good pictures, in (0, 1).
        known_good: ``(N,)``, whom people have looked at and called good; see ``scores_of_good``.

    Raises:
        UsageError: ``max_false_alarms`` outside (0, 1).
    """
    max_false_alarms = check("threshold.max_false_alarms", max_false_alarms)
    good = scores_of_good(scores, known_good)
    count = len(good)
    rank = max(1, int(max_false_alarms * (count + 1)))
    return Threshold(
        value=float(good[-rank]),
        max_false_alarms=max_false_alarms,
        pictures=count,
        expected=rank / (count + 1),
        confidence=_at_least(rank, count, max_false_alarms),
    )


def scores_of_good(scores: Floats, known_good: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Those of ``(N,)`` scores that count as good pictures', ascending.

    Limits and p-values rest on them. Suspects do not count, unless people have looked at them and
    called them good. None of the scores may be from a bank that holds the picture's patches.
    """
    counts = ~suspicious(scores)
    return np.sort(scores[counts if known_good is None else counts | known_good])


def threshold_with_labels(good: Floats, bad: Floats) -> float:
    """The score that tells good from bad pictures best: the largest balanced accuracy.

    Of equally good ones, the middle of the widest gap between two scores.

    Args:
        good: scores of good pictures.
        bad: scores of bad ones.

    Raises:
        DatasetError: none of either.
    """
    if not len(good) or not len(bad):
        raise DatasetError(
            f"a threshold from labels needs good and bad pictures; there are {len(good)} good "
            f"and {len(bad)} bad ones"
        )
    values = np.unique(np.concatenate([good, bad]))
    if len(values) == 1:
        return float(values[0])
    middles = (values[1:] + values[:-1]) / 2
    right = np.array([(good <= m).mean() + (bad > m).mean() for m in middles])
    best = np.flatnonzero(right == right.max())
    return float(middles[best[np.diff(values)[best].argmax()]])


def _at_least(rank: int, count: int, share: float) -> float:
    """P(at least ``rank`` of ``count`` exceed the true quantile that ``share`` of all exceed)."""
    fewer = sum(math.comb(count, i) * share**i * (1 - share) ** (count - i) for i in range(rank))
    return max(0.0, 1 - fewer)
