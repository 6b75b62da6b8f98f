"""One camera: what has become of it, and what its model file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from softpatch.detectors.threshold import SUSPECT, Threshold, threshold_without_labels
from softpatch.fleet.drift import Drift
from softpatch.noise.contamination import estimate_contamination

FITTED = "fitted"
UNCHANGED = "unchanged"  # nothing to do
KEPT = "kept"  # its model, since the new pictures look different
CHECKED = "checked"  # and not fitted, as asked for
FAILED = "failed"
GONE = "gone"  # there is a model and there are no pictures any more


@dataclass(frozen=True)
class Learned:
    """What a model file says.

    Attributes:
        pictures: that it was fitted on.
        contamination: estimated share of bad ones among them, with its 95 % ``interval``; None of
            methods that do not rank pictures.
        suspects: paths of those more likely bad than good, most suspicious first.
        threshold: None without one.
        promise: of that threshold; None if it was set by hand or by labels.
    """

    pictures: int
    contamination: float | None
    interval: tuple[float, float] | None
    suspects: tuple[str, ...]
    threshold: float | None
    promise: Threshold | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "promise": self.promise and vars(self.promise)}


@dataclass(frozen=True)
class Visit:
    """One camera.

    Attributes:
        camera: its name.
        folder: of its pictures.
        model: its model file, whether or not it is there.
        outcome: ``fitted``, ``unchanged``, ``kept``, ``checked``, ``failed`` or ``gone``.
        error: why it failed.
        learned: from its model file; None if there is none that can be read.
        unreadable: path and reason of pictures that could not be read.
        drift: of the new pictures; None if there are none, or no model that could tell.
    """

    camera: str
    folder: Path
    model: Path
    outcome: str
    error: str | None = None
    learned: Learned | None = None
    unreadable: tuple[tuple[str, str], ...] = ()
    drift: Drift | None = None


def learned(header: Mapping[str, Any], state: Mapping[str, Tensor]) -> Learned:
    """From the content of a model file."""
    names = header["images"]
    contamination, interval, suspects = None, None, []
    if "suspicion" in state:
        suspicion = state["suspicion"].double().numpy()
        found = estimate_contamination(suspicion, header["parameters"]["seed"])
        contamination, interval = found.rate, (found.low, found.high)
        order = suspicion.argsort(kind="stable")[::-1].tolist()
        suspects = [names[at] for at in order if found.confidence[at] > SUSPECT]
    threshold = header.get("threshold")
    promise = None
    if "held_out" in state and threshold is not None:
        share = header["parameters"]["max_false_alarms"]
        chosen = threshold_without_labels(state["held_out"].numpy(), share)
        promise = chosen if chosen.value == threshold else None
    return Learned(len(names), contamination, interval, tuple(suspects), threshold, promise)
