"""softpatch through its public interface, as a route of the benchmark."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.routes import NotAvailableError
from softpatch import SoftPatch
from softpatch.benchmark.step_clock import StepClock
from softpatch.features import FeatureConfig

HELD = 0.99


class OurSoftPatch:
    """``SoftPatch`` with all of the bank the ratio asks for, as the peers have it."""

    def __init__(self, config: FeatureConfig, ratio: float, options: dict[str, Any]) -> None:
        known = SoftPatch.option_names()
        if missing := sorted(set(options) - known):
            raise NotAvailableError(f"SoftPatch has no option {missing[0]!r}")
        options = {**vars(config), "coreset_ratio": ratio, **options}
        if "bank_size" in known:
            options["bank_size"] = sys.maxsize  # peers have no such limit
        self.model = SoftPatch(**options)
        _ = self.model.preprocessing  # loads the backbone, which peers do when they are built too

    def fit(self, paths: list[Path]) -> dict[str, float]:
        clock = StepClock()
        self.model.fit(paths, progress=clock)
        return clock.seconds()

    def predict(self, path: Path) -> float:
        return float(self.model.predict(path).score)

    def describe(self) -> dict[str, Any]:
        vectors = self.model.bank.vectors
        return {
            "bank": len(vectors),
            "dimension": vectors.shape[1],
            "directions": directions(vectors),
        }


def directions(vectors: Tensor) -> int:
    """How many principal directions hold ``HELD`` of the vectors' variance.

    Trained backbones have hundreds. The fewer there are, the more pairs softpatch can skip, so
    its ratios only mean what they say where this is as with trained weights.
    """
    centred = vectors.double() - vectors.double().mean(dim=0)
    variance = torch.linalg.eigvalsh(centred.T @ centred).flip(0)  # descending
    return int((variance.cumsum(0) < HELD * variance.sum()).sum()) + 1
