"""Brightness and sharpness of a camera's pictures, and whether they have changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softpatch.auditing.image_quality import BRIGHTER, ENOUGH, ODD, SOFTER, measure_images
from softpatch.compute.progress import Progress, silent
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import ignore_unreadable
from softpatch.runtime.intensity import FULL, Intensity

MEASURED = 64  # pictures; more hardly make the median more precise


@dataclass(frozen=True)
class Photographs:
    """Brightness and sharpness of some pictures."""

    brightness: tuple[float, ...]  # mean grey of each, 0..1
    # Octaves by which fine exceeds coarse detail; pictures too small for that are left out.
    sharpness: tuple[float, ...]


def photographs(
    pictures: Sequence[Path], intensity: Intensity = FULL, progress: Progress = silent
) -> Photographs:
    """Measure ``MEASURED`` of the pictures, evenly spread; unreadable ones are skipped."""
    sources = [ImageSource(str(path), path) for path in spread(pictures, MEASURED)]
    measured = measure_images(sources, ignore_unreadable, progress, intensity)
    sharpness = [picture.sharpness for picture in measured]
    return Photographs(
        tuple(picture.brightness for picture in measured),
        tuple(value for value in sharpness if math.isfinite(value)),
    )


def spread(pictures: Sequence[Path], most: int) -> list[Path]:
    """At most ``most`` pictures, evenly spread, the first and the last included."""
    chosen = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).round().astype(int)
    return [pictures[at] for at in chosen.tolist()]


def changes(then: Photographs, now: Photographs) -> tuple[float | None, float | None]:
    """Changes of the median brightness and sharpness; None where there is no clear change.

    A clear change exceeds both the difference for which the audit flags a single picture and
    ``ODD`` standard errors.
    """
    return (
        _change(then.brightness, now.brightness, BRIGHTER),
        _change(then.sharpness, now.sharpness, SOFTER),
    )


def _change(then: Sequence[float], now: Sequence[float], least: float) -> float | None:
    if min(len(then), len(now)) < ENOUGH:
        return None
    change = float(np.median(now) - np.median(then))
    variance = _variance(then) + _variance(now)
    return change if abs(change) > max(least, ODD * math.sqrt(variance)) else None


def _variance(values: Sequence[float]) -> float:
    """Variance of the median of normal values: pi / 2 times that of their mean."""
    spread = 1.4826 * float(np.median(np.abs(np.asarray(values) - np.median(values))))
    return math.pi / 2 * spread**2 / len(values)
