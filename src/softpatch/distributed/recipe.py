"""How to make a detector again where the work is done, without sending its network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from softpatch.detectors import METHODS, Detector


@dataclass(frozen=True)
class Recipe:
    """A detector that is not fitted, as its class and constructor options."""

    kind: type[Detector]
    options: dict[str, Any]

    def make(self, device: str = "cpu") -> Detector:
        """Another one like it."""
        return self.kind(**self.options, device=device)


def recipe_of(detector: Detector) -> Recipe:
    """Of the plain detector, also if the one given works on a cluster."""
    kinds = {kind.method: kind for kind, _ in METHODS.values()}
    options = {
        **vars(detector.features),
        **detector._parameters(),
        "roi": None if detector.roi is None else detector.roi.mask,
        "seed": detector.seed,
        "batch_size": detector.batch_size,
    }
    return Recipe(kinds[detector.method], options)
