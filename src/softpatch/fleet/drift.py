"""Whether new pictures still look like those a model was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softpatch.detectors import Detector
from softpatch.detectors.patchcore import MOST_HELD_OUT, MemoryBankDetector
from softpatch.fleet.photographs import Photographs, changes, photographs, spread
from softpatch.fleet.tail import Tail, compare
from softpatch.images import ignore_unreadable
from softpatch.progress import Progress

CHANCE = 0.001  # that a camera without drift is called drifted
MATTERS = 2.0  # times the share that is expected
WORST = 3  # pictures to look at


@dataclass(frozen=True)
class Drift:
    """New pictures against the model and the pictures it was fitted on.

    Attributes:
        new: how many there are; at most 500 of them, evenly spread, have been scored.
        tail: their scores; None for a model without held-out scores, or if none can be read.
        alarms: how many exceed the model's threshold; None without one.
        brightness: change of the median, as a share of the range from black to white; None if it
            has not clearly changed.
        sharpness: likewise, in octaves.
        worst: paths of those with the highest scores.
    """

    new: int
    tail: Tail | None
    alarms: int | None
    brightness: float | None
    sharpness: float | None
    worst: tuple[str, ...]

    @property
    def drifted(self) -> bool:
        """Whether clearly more of them have high scores than should."""
        tail = self.tail
        return (
            tail is not None
            and tail.chance < CHANCE
            and tail.above > MATTERS * tail.expected * tail.scored
        )

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.tail is None:
            return "not known"
        if self.drifted:
            return "drifted"
        return "too few to tell" if self.tail.least >= CHANCE else "as before"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        tail = {} if self.tail is None else vars(self.tail)
        return {**vars(self), "tail": tail or None, "verdict": self.verdict}


def drift(detector: Detector, new: Sequence[Path], then: Photographs, progress: Progress) -> Drift:
    """Score new pictures and look at them; at most 500, as many as training pictures were.

    Args:
        detector: fitted.
        new: pictures that it has not seen, at least one.
        then: what the training pictures were like.
        progress: told of the steps ``look`` and ``predict``.
    """
    brightness, sharpness = changes(then, photographs(new, progress))
    chosen = spread(new, MOST_HELD_OUT)
    scored = []
    for prediction in detector.predict(chosen, on_unreadable=ignore_unreadable):
        scored.append((prediction.score, prediction.name))
        progress("predict", len(scored), len(chosen))
    scored.sort(reverse=True)
    held_out = detector.held_out_ if isinstance(detector, MemoryBankDetector) else None
    limit = detector.threshold_
    return Drift(
        new=len(new),
        tail=compare(np.array([score for score, _ in scored]), held_out.cpu().numpy())
        if scored and held_out is not None
        else None,
        alarms=None if limit is None else sum(score > limit for score, _ in scored),
        brightness=brightness,
        sharpness=sharpness,
        worst=tuple(name for _, name in scored[:WORST]),
    )
