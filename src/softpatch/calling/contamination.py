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
SUSPECT = 0.5  # chance of being bad from which an image does not count as good


@dataclass(frozen=True)
class ContaminationEstimate:
    """An estimate.

    Attributes:
        rate: share of bad pictures, 0..``MOST``.
        low, high: ends of its 95 % interval.
        confidence: ``(N,)`` in 0..1, that each picture is bad; more suspicion never means less.
    """

    rate: float
    low: float
    high: float
    confidence: Floats


@dataclass(frozen=True)
class _Good:
    """The law of good pictures' log suspicion, and the share of pictures that it leaves over.

    A picture's suspicion is that of its worst patches, and extremes have a Gumbel law.
    """

    location: float
    scale: float
    rate: float

    def density(self, values: Floats) -> Floats:
        """Of good pictures at each value."""
        z = np.maximum((values - self.location) / self.scale, -50)  # 0 there already
        density: Floats = np.exp(-z - np.exp(-z)) / self.scale
        return density

    @property
    def tail(self) -> float:
        """Where the last ``TAIL`` of the good pictures begins."""
        return self.location + self.scale * _standard_quantile(1 - TAIL)


def chance_of_bad(suspicion: npt.NDArray[np.floating]) -> Floats:
    """``(N,)`` suspicion -> ``(N,)`` confidence alone, as ``estimate_contamination`` has it."""
    values = _logarithms(suspicion)
    return _confidence(values, _fit(values))


def estimate_contamination(suspicion: Floats, seed: int = 0) -> ContaminationEstimate:
    """Tell the bad pictures from the good ones by the law of the good.

    The law is fitted to the less suspicious half of the good pictures, where no bad ones are. Bad
    pictures are counted beyond where 1 % of the good ones lie; how many are good decides which half
    the law is fitted to, so that both are found in turns. A picture's confidence is the posterior
    of being bad, bad ones being as likely anywhere beyond that point.

    Args:
        suspicion: ``(N,)``, above 0.
        seed: of the bootstrap over pictures that makes the interval.
    """
    values = _logarithms(suspicion)
    good = _fit(values)
    random = np.random.default_rng(seed)
    rates = [_fit(random.choice(values, len(values))).rate for _ in range(RESAMPLES)]
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # No bad picture among N does not prove a rate of 0: 3 / N could well have shown none.
    high = max(float(high), good.rate, 1 - (1 - LEVEL) ** (1 / len(values)))
    return ContaminationEstimate(
        good.rate, min(float(low), good.rate), high, _confidence(values, good)
    )


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


def _confidence(values: Floats, good: _Good) -> Floats:
    reach = float(values.max()) - good.tail
    if good.rate == 0 or reach <= 0:
        return np.zeros(len(values))
    bad = good.rate / reach  # density, beyond the tail's beginning
    posterior = bad / (bad + (1 - good.rate) * good.density(values))
    posterior[values <= good.tail] = 0.0
    return posterior


def _standard_quantile(share: float) -> float:
    return -math.log(-math.log(share))
