"""Do new pictures still look like those a camera's model was fitted on?

They are compared with the training pictures by a small reference detector. The model's own held-out
scores will not do: its bank was selected among the patches of the training pictures, which without
their own vectors are farther from it than new pictures are. For 60 new, unchanged pictures of
bottle, the mean rank among 60 held-out scores was 0.15 instead of 0.5. Of the reference, one half
of the training pictures fills the bank, and the other half is as new to it as new pictures are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from softpatch.compute.progress import Progress, silent
from softpatch.detectors import Detector, PatchCore
from softpatch.fleet.photographs import Photographs, changes, photographs, spread
from softpatch.fleet.two_sample import Comparison, compare
from softpatch.images.sources import ignore_unreadable

CHANCE = 0.001  # of calling a camera drifted that is not
MATTERS = 2.0  # times the expected share outside, from which drift counts
SCORED = 500  # new pictures, at most
WORST = 3  # pictures shown
REFERENCE_PICTURES = 64  # in each half of a reference, at most
VECTORS = 512  # in a reference's bank, at most
LEAST = 2  # pictures in each half


@dataclass(frozen=True)
class Drift:
    """New pictures against the training pictures and the model.

    Attributes:
        new: number of new pictures, of which at most 500, evenly spread, are scored.
        compared: their unlikeness against that of training pictures; None if those are too few or
            no new picture can be read.
        alarms: number of scored pictures above the model's threshold; None without one.
        brightness: change of the median, as a share of the range from black to white; None if it
            has not clearly changed.
        sharpness: likewise, in octaves.
        worst: paths of the pictures with the highest scores.
    """

    new: int
    compared: Comparison | None
    alarms: int | None
    brightness: float | None
    sharpness: float | None
    worst: tuple[str, ...]

    @property
    def drifted(self) -> bool:
        """Whether clearly more new pictures than expected are unlike the training pictures."""
        found = self.compared
        return (
            found is not None
            and found.chance < CHANCE
            and found.outside > MATTERS * found.expected * found.new
        )

    @property
    def verdict(self) -> str:
        """``drifted``, ``as before``, ``too few to tell`` or ``not known``."""
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
    """Compare new pictures, at least one, with those a camera's model was fitted on.

    Of the latter are ``reference``, from ``make_reference``, and ``then``.
    """
    brightness, sharpness = changes(then, photographs(new, detector.features.intensity, progress))
    chosen = spread(new, SCORED)
    scored = []
    found = detector.predict(chosen, on_unreadable=ignore_unreadable, refuse_unusable=False)
    for prediction in found:
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


def make_reference(
    detector: Detector, pictures: Sequence[Path], progress: Progress = silent
) -> PatchCore | None:
    """Fit a reference on every other picture; its ``held_out_`` is the unlikeness of the rest.

    Uses the detector's features. None if there are fewer than four pictures.
    """
    chosen = spread(pictures, 2 * REFERENCE_PICTURES)
    if len(chosen) < 2 * LEAST:
        return None
    extractor = detector.extractor
    features: dict[str, Any] = vars(detector.features).copy()
    features["backbone"] = extractor.own_backbone or detector.features.backbone
    reference = PatchCore(
        **features,
        roi=None if detector.roi is None else detector.roi.mask,
        bank_size=VECTORS,
        max_false_alarms=None,
        seed=detector.seed,
        device=str(detector.device),
        batch_size=detector.batch_size,
        memory_limit=detector.memory_limit,
    )
    reference.share_extractor(extractor)
    reference.fit(chosen[::2], on_unreadable=ignore_unreadable, progress=progress)
    reference.held_out_ = torch.from_numpy(unlikeness(reference, chosen[1::2], progress))
    return reference


def unlikeness(
    reference: PatchCore, pictures: Sequence[Path], progress: Progress = silent
) -> npt.NDArray[np.float32]:
    """``(n,)`` distances of the readable pictures to those the reference was fitted on.

    The mean of the anomaly map: a defect hardly moves it; light, focus or another part do.
    """
    distances: list[float] = []
    found = reference.predict(pictures, on_unreadable=ignore_unreadable, refuse_unusable=False)
    for prediction in found:
        distances.append(float(prediction.anomaly_map.mean()))
        progress("predict", len(distances), len(pictures))
    return np.array(distances, dtype=np.float32)
