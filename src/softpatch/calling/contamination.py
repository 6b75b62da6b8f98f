"""How many of the training images are bad, and how surely each is: from their suspicion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 200
LEVEL = 0.95  # of the interval
FITTED = (0.1, 0.5)  # quantiles of the good pictures that the Gumbel law is laid through
TAIL = 0.01  # share of good pictures that lie beyond where bad ones are counted
MOST = 0.5  # of the pictures can be bad; beyond, they would be the rule
ROUNDS = 50
LIKELY = 0.5  # confidence from which a picture stands out
# Confidence is 1 / (1 + exp(EVEN - STEEP * z)) of a picture that lies z scales of the law above its
# location. Fitted to pictures of seven sets, with none to a fifth bad; each set, left out in
# turn, has an expected calibration error of at most 0.09 (benchmarks.calling).
EVEN, STEEP = 4.18, 0.58
# An interval is given where half of those that stand out lie so far above the law's location, and
# they are so many. Elsewhere it would hold the truth three times of four: bad pictures that look
# like good ones do not stand out, and a set with them looks like a clean one.
CLEAR, SEVERAL = 9.0, 3
WIDE = 0.35  # an interval that is wider, as those of 20 pictures are, tells nothing
LOOK, LOOK_SHARE = 12, 0.2  # pictures to look at, at least, where it is not told how many are bad


@dataclass(frozen=True)
class ContaminationEstimate:
    """What the suspicion of N pictures says.

    Attributes:
        confidence: ``(N,)`` in 0..1, that each picture is bad; more suspicion never means less.
        rate: share of bad pictures, 0..``MOST``; None where the scores do not tell.
        interval: its 95 % interval; None where the scores do not tell.
    """

    confidence: Floats
    rate: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def standing_out(self) -> int:
        """How many pictures are more likely bad than not."""
        return int((self.confidence > LIKELY).sum())

    @property
    def look_first(self) -> int:
        """How many of the most suspicious pictures are worth a look."""
        count = len(self.confidence)
        return min(count, max(LOOK, math.ceil(LOOK_SHARE * count), self.standing_out))

    def __str__(self) -> str:
        count, out = len(self.confidence), self.standing_out
        stand = "stands" if out < 2 else "stand"
        if self.rate is not None and self.interval is not None:
            low, high = self.interval
            return (
                f"{out} of {count} pictures {stand} out clearly; about {self.rate:.1%} are bad "
                f"(95 % interval {low:.1%} to {high:.1%})"
            )
        first = f"look at the first {self.look_first}"
        return (
            f"{out or 'None'} of {count} pictures {stand} out; how many are bad cannot be told, as "
            f"some may look like good ones to the network: {first}"
        )


@dataclass(frozen=True)
class _Good:
    """The law of good pictures' log suspicion, and the share of pictures that it leaves over.

    A picture's suspicion is that of its worst patches, and extremes have a Gumbel law.
    """

    location: float
    scale: float
    rate: float

    @property
    def tail(self) -> float:
        """Where the last ``TAIL`` of the good pictures begins."""
        return self.location + self.scale * _standard_quantile(1 - TAIL)

    def above(self, values: Floats) -> Floats:
        """How many scales each value lies above the location."""
        return (values - self.location) / self.scale


def suspicious(suspicion: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """``(N,)``: beyond where the last hundredth of good pictures begins, so that they do not count.

    Args:
        suspicion: ``(N,)``, at least 0.
    """
    values = _logarithms(suspicion)
    beyond: npt.NDArray[np.bool_] = values > _fit(values).tail
    return beyond


def above_good(suspicion: npt.NDArray[np.floating]) -> Floats:
    """``(N,)``: how many scales of the good pictures' law each lies above the law's location."""
    values = _logarithms(suspicion)
    return _fit(values).above(values)


def confidence_of(above: Floats) -> Floats:
    """``(N,)`` places as ``above_good`` has them -> ``(N,)`` confidence that each is bad, 0..1."""
    confidence: Floats = 1 / (1 + np.exp(np.minimum(EVEN - STEEP * above, 700)))
    return confidence


def estimate_contamination(suspicion: Floats, seed: int = 0) -> ContaminationEstimate:
    """Tell the bad pictures from the good ones by the law of the good.

    The law is fitted to the less suspicious half of the good pictures, where no bad ones are. Bad
    pictures are counted beyond where 1 % of the good ones lie; how many are good decides which half
    the law is fitted to, so that both are found in turns.

    Args:
        suspicion: ``(N,)``, above 0.
        seed: of the bootstrap over pictures that makes the interval.
    """
    values = _logarithms(suspicion)
    good = _fit(values)
    above = good.above(values)
    confidence = confidence_of(above)
    out = above[confidence > LIKELY]
    if len(out) < SEVERAL or np.median(out) < CLEAR:
        return ContaminationEstimate(confidence)
    random = np.random.default_rng(seed)
    rates = [_fit(random.choice(values, len(values))).rate for _ in range(RESAMPLES)]
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    interval = min(float(low), good.rate), max(float(high), good.rate)
    if interval[1] - interval[0] > WIDE:
        return ContaminationEstimate(confidence)
    return ContaminationEstimate(confidence, good.rate, interval)


def _logarithms(suspicion: npt.NDArray[np.floating]) -> Floats:
    logarithms: Floats = np.log(np.maximum(suspicion.astype(np.float64), 1e-12))
    return logarithms


def _fit(values: Floats) -> _Good:
    rate = 0.0
    for _ in range(ROUNDS):
        first, second = np.quantile(values, [share * (1 - rate) for share in FITTED])
        steps = [_standard_quantile(share) for share in FITTED]
        scale = max(float(second - first) / (steps[1] - steps[0]), 1e-6)
        good = _Good(float(first) - scale * steps[0], scale, rate)
        beyond = float((values > good.tail).mean())
        found = min(max((beyond - TAIL) / (1 - TAIL), 0.0), MOST)
        if abs(found - rate) < 0.5 / len(values):
            break
        rate = found
    return _Good(good.location, good.scale, found)


def _standard_quantile(share: float) -> float:
    return -math.log(-math.log(share))
