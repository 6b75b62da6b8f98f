"""Whether new pictures still look like those a camera's model was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softpatch.compute.progress import Progress
from softpatch.detectors import Detector, PatchCore
from softpatch.fleet.comparison import Comparison, compare
from softpatch.fleet.photographs import Photographs, changes, photographs, spread
from softpatch.fleet.reference import LEAST, unlikeness
from softpatch.images.sources import ignore_unreadable

CHANCE = 0.001  # that a camera without drift is called drifted
MATTERS = 2.0  # times the share that is expected
SCORED = 500  # new pictures, at most
WORST = 3  # pictures to look at


@dataclass(frozen=True)
class Drift:
    """New pictures against the training pictures and the model.

    Attributes:
        new: how many there are; at most 500 of them, evenly spread, have been scored.
        compared: how unlike the training pictures they are; None where those were too few, or no
            new one can be read.
        alarms: how many of those scored exceed the model's threshold; None without one.
        brightness: change of the median, as a share of the range from black to white; None if it
            has not clearly changed.
        sharpness: likewise, in octaves.
        worst: paths of those with the highest scores.
    """

    new: int
    compared: Comparison | None
    alarms: int | None
    brightness: float | None
    sharpness: float | None
    worst: tuple[str, ...]

    @property
    def drifted(self) -> bool:
        """Whether clearly more of them than should are unlike the training pictures."""
        found = self.compared
        return (
            found is not None
            and found.chance < CHANCE
            and found.outside > MATTERS * found.expected * found.new
        )

    @property
    def verdict(self) -> str:
        """In a few words."""
        found = self.compared
        if found is None:
            return "not known"
        if found.least >= CHANCE or MATTERS * found.expected >= 1:
            return "too few to tell"
        return "drifted" if self.drifted else "as before"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        compared = self.compared and vars(self.compared)
        return {**vars(self), "compared": compared, "verdict": self.verdict}


def drift(
    detector: Detector,
    reference: PatchCore | None,
    then: Photographs,
    new: Sequence[Path],
    progress: Progress,
) -> Drift:
    """Compare new pictures with what a camera's model was fitted on.

    Args:
        detector: the model.
        reference: made of its training pictures.
        then: what those were like.
        new: pictures that it has not seen, at least one.
        progress: told of the steps ``look`` and ``predict``.
    """
    brightness, sharpness = changes(then, photographs(new, progress))
    chosen = spread(new, SCORED)
    scored = []
    for prediction in detector.predict(chosen, on_unreadable=ignore_unreadable):
        scored.append((prediction.score, prediction.name))
        progress("predict", len(scored), len(chosen))
    scored.sort(reverse=True)
    compared = None
    if reference is not None and reference.held_out_ is not None and scored:
        old = reference.held_out_.cpu().numpy()
        if len(old) >= LEAST:
            compared = compare(unlikeness(reference, chosen, progress), old)
    limit = detector.threshold_
    return Drift(
        new=len(new),
        compared=compared,
        alarms=None if limit is None else sum(score > limit for score, _ in scored),
        brightness=brightness,
        sharpness=sharpness,
        worst=tuple(name for _, name in scored[:WORST]),
    )
