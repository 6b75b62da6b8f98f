"""Seconds of every step of a fit, from its progress calls."""

from __future__ import annotations

import time
from itertools import pairwise


class StepClock:
    """A ``progress`` callback: a step lasts from the end of the one before to its last call."""

    def __init__(self) -> None:
        self._ended = {"start": time.perf_counter()}

    def __call__(self, step: str, _done: int, _total: int) -> None:
        """Note that the step has come this far."""
        self._ended[step] = time.perf_counter()

    def seconds(self) -> dict[str, float]:
        """Of each step so far."""
        ended = self._ended
        return {step: ended[step] - ended[before] for before, step in pairwise(ended)}
