"""How many of the training pictures are bad, from how suspicious each is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 200
LEVEL = 0.95  # of the interval


@dataclass(frozen=True)
class Contamination:
    """An estimate.

    Attributes:
        rate: share of bad pictures, 0..1.
        low, high: ends of its 95 % interval.
        confidence: ``(N,)`` in 0..1, that each picture is bad; more suspicion never means less.
    """

    rate: float
    low: float
    high: float
    confidence: Floats


def estimate_contamination(suspicion: Floats, seed: int = 0) -> Contamination:
    """Tell the tail of bad pictures from the body of good ones.

    The logarithm of good pictures' suspicion is taken to be normal; its spread is measured below
    the median, where no bad ones are. A picture's confidence is 1 minus its local false discovery
    rate: of the pictures around there, the share that the body does not account for.

    Args:
        suspicion: ``(N,)``, above 0.
        seed: of the bootstrap over pictures that makes the interval.
    """
    values = np.log(np.maximum(suspicion.astype(np.float64), 1e-12))
    confidence = _confidence(values)
    random = np.random.default_rng(seed)
    rates = [
        float(_confidence(random.choice(values, len(values))).mean()) for _ in range(RESAMPLES)
    ]
    rate = float(confidence.mean())
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Contamination(rate, min(float(low), rate), max(float(high), rate), confidence)


def _confidence(values: Floats) -> Floats:
    """``(N,)`` -> ``(N,)`` in 0..1, ascending with the values."""
    median = float(np.median(values))
    below = median - values[values <= median]
    spread = max(1.4826 * float(np.median(below)), 1e-6)
    order = np.argsort(values, kind="stable")
    deviations = (values[order] - median) / spread
    # The body's pictures beyond each; what lies between two is what one picture stands for.
    beyond = np.array([0.5 * math.erfc(deviation / math.sqrt(2)) for deviation in deviations])
    expected = len(values) * -np.diff(beyond, append=0.0)
    confidence = np.empty(len(values))
    confidence[order] = 1 - np.minimum(_descending(expected), 1)
    # Below the median everything is body; ties share the smallest confidence among them.
    confidence[values <= median] = 0
    _, group = np.unique(values, return_inverse=True)
    least = np.ones(group.max() + 1)
    np.minimum.at(least, group, confidence)
    tied: Floats = least[group]
    return tied


def _descending(values: Floats) -> Floats:
    """The nearest descending sequence in least squares, by pooling adjacent violators."""
    means: list[float] = []
    counts: list[int] = []
    for value in values.tolist():
        mean, count = value, 1
        while means and means[-1] < mean:
            mean = (mean * count + means[-1] * counts[-1]) / (count + counts[-1])
            count += counts.pop()
            means.pop()
        means.append(mean)
        counts.append(count)
    return np.repeat(means, counts)
