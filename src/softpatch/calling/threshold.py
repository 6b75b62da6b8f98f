"""A decision threshold, without labels or with a few.

Without labels it comes from the training pictures' own scores, each by the memory bank without the
vectors of that picture, as if the bank had not seen it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from softpatch.calling.contamination import suspicious
from softpatch.calling.words import of_so_many, rounded
from softpatch.errors import DatasetError
from softpatch.ranges.table import check

Floats = npt.NDArray[np.floating]

MOST_HELD_OUT = 500  # training pictures, for a threshold
NAMED = 3  # pictures that a threshold can rest on
HARDLY = 0.05  # of a threshold; if it would move less without them, it does not rest on them


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it promises.

    Attributes:
        value: pictures with a larger score are called anomalous.
        max_false_alarms: the share of good pictures that may be, as asked for.
        pictures: training pictures that it rests on, suspects left out.
        expected: share of good pictures that will be, in expectation over training sets.
        confidence: that at most ``max_false_alarms`` of them will be, given so few pictures.
        rests_on: index, among the scores given, and score of up to ``NAMED`` of these pictures, the
            largest scores first, without which it would fall the most; none that people have called
            good.
        without: what it would be without them.
    """

    value: float
    max_false_alarms: float
    pictures: int
    expected: float
    confidence: float
    rests_on: tuple[tuple[int, float], ...] = ()
    without: float | None = None

    @property
    def missing(self) -> int:
        """How many more good pictures could promise what was asked for; 0 if these do."""
        if self.expected <= self.max_false_alarms:
            return 0
        return math.ceil(1 / self.max_false_alarms) - 1 - self.pictures

    def __str__(self) -> str:
        says = f"limit {rounded(self.value)}: about {{}} good pictures will be called bad"
        if not self.missing:
            (many,), base = of_so_many(self.expected)
            says = says.format(f"{many:,} of {base:,}")
            return f"{says} ({self.pictures} training pictures)"
        (many, asked), base = of_so_many(self.expected, self.max_false_alarms)
        says = says.format(f"{many:,} of {base:,}")
        why = f"{self.pictures} pictures cannot promise fewer"
        what = f"{self.missing} more good ones would do"
        if self.pictures + self.missing > MOST_HELD_OUT:
            what = f"nor could {MOST_HELD_OUT}, and no more are scored for it"
        return f"{says}, not the {asked:,} asked for: {why}; {what}"

    def of_images(self, images: Sequence[int]) -> Threshold:
        """The same, resting on images by their own indices, given those of the scores."""
        return replace(self, rests_on=tuple((images[at], score) for at, score in self.rests_on))

    def told(self, names: Sequence[str]) -> list[str]:
        """Lines for people; ``names`` are those of all images that ``rests_on`` has indices in."""
        if self.without is None or self.without >= (1 - HARDLY) * self.value:
            return [str(self)]
        each = [f"{PurePath(names[one]).name} ({rounded(score)})" for one, score in self.rests_on]
        listed = " and ".join(filter(None, [", ".join(each[:-1]), each[-1]]))
        them = "them" if len(each) > 1 else "it"
        return [str(self), f"it rests on {listed}; without {them} {rounded(self.without)}"]


def counting(
    scores: Floats, known_good: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.intp]:
    """Indices of the pictures that count as good, by ascending score.

    Limits and p-values rest on them. Suspects do not count, unless people have looked at them and
    called them good.
    """
    counts = ~suspicious(scores)
    good = np.flatnonzero(counts if known_good is None else counts | known_good)
    return good[np.argsort(scores[good], kind="stable")]


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
    largest = counting(scores, known_good)[::-1]
    count = len(largest)

    def rank(pictures: int) -> int:
        return max(1, int(max_false_alarms * (pictures + 1)))

    # Without the first, the first two, ... of them that nobody has called good.
    untold = largest if known_good is None else largest[~known_good[largest]]
    values = []
    for out in range(min(NAMED, count - 1, len(untold)) + 1):
        left = largest[~np.isin(largest, untold[:out])]
        values.append(float(scores[left[rank(count - out) - 1]]))
    fewer = 1 + int(np.argmax(-np.diff(values))) if len(values) > 1 else 0
    return Threshold(
        value=values[0],
        max_false_alarms=max_false_alarms,
        pictures=count,
        expected=rank(count) / (count + 1),
        confidence=_at_least(rank(count), count, max_false_alarms),
        rests_on=tuple((int(one), float(scores[one])) for one in untold[:fewer]),
        without=values[fewer] if fewer else None,
    )


def scores_of_good(scores: Floats, known_good: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Those of ``(N,)`` scores that count as good pictures', ascending.

    None of the scores may be from a bank that holds the picture's patches.
    """
    return scores[counting(scores, known_good)]


def threshold_with_labels(
    good: Floats, bad: Floats, *, miss_cost: float = 1.0, bad_share: float = 0.5
) -> float:
    """The score that costs least, in false alarms and missed bad pictures.

    Where a miss costs as much as a false alarm, and half of the pictures are bad, that is the one
    that tells good from bad pictures best: the largest balanced accuracy. Of equally good ones, the
    middle of the widest gap between two scores.

    Args:
        good: scores of good pictures.
        bad: scores of bad ones.
        miss_cost: what a missed bad picture costs, in false alarms.
        bad_share: share of bad ones among the pictures to come.

    Raises:
        DatasetError: none of either.
    """
    _need_both(good, bad)
    values = np.unique(np.concatenate([good, bad]))
    middles = (values[1:] + values[:-1]) / 2
    # Behind these: none is called bad, and all are.
    limits = np.append(middles, [values[-1], values[0] / 2])
    gaps = np.append(np.diff(values), [0, 0])
    costs = np.array([
        bad_share * miss_cost * (bad <= limit).mean() + (1 - bad_share) * (good > limit).mean()
        for limit in limits
    ])  # fmt: skip
    best = np.flatnonzero(np.isclose(costs, costs.min(), rtol=1e-9, atol=0))
    return float(limits[best[gaps[best].argmax()]])


def threshold_of_misses(good: Floats, bad: Floats, max_misses: float) -> float:
    """The largest threshold at which at most that share of the bad pictures is missed.

    It lies midway between the first bad one that it finds and the next lower score.

    Args:
        good: scores of good pictures.
        bad: scores of bad ones.
        max_misses: share of the bad ones, in [0, 1).

    Raises:
        DatasetError: none of either.
    """
    _need_both(good, bad)
    missed = int(max_misses * len(bad) + 1e-9)  # 0.29 of 100 are 29
    first = np.sort(bad)[missed]
    lower = np.concatenate([good, bad, [0.0]])
    return float((first + lower[lower < first].max(initial=0.0)) / 2)


def _need_both(good: Floats, bad: Floats) -> None:
    if not len(good) or not len(bad):
        raise DatasetError(
            f"a threshold from labels needs good and bad pictures; there are {len(good)} good "
            f"and {len(bad)} bad ones"
        )


def _at_least(rank: int, count: int, share: float) -> float:
    """P(at least ``rank`` of ``count`` exceed the true quantile that ``share`` of all exceed)."""
    fewer = sum(math.comb(count, i) * share**i * (1 - share) ** (count - i) for i in range(rank))
    return max(0.0, 1 - fewer)
