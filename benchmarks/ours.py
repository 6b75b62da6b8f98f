"""softpatch through its public interface, as a route of the benchmark."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import StepClock
from benchmarks.pictures import PAPER
from softpatch import SoftPatch
from softpatch.export import export_model
from softpatch.export.graph import Precision
from softpatch.features import FeatureConfig
from softpatch.runtime import Detector

HELD = 0.99
CALIBRATION = 30  # pictures that an 8-bit network is calibrated on


class NotAvailableError(Exception):
    """A route that cannot run here, and why."""


class OurSoftPatch:
    """``SoftPatch`` with all of the bank the ratio asks for, as the peers have it."""

    def __init__(self, config: FeatureConfig, ratio: float, options: dict[str, Any]) -> None:
        known = SoftPatch.option_names()
        if missing := sorted(set(options) - known):
            raise NotAvailableError(f"SoftPatch has no option {missing[0]!r}")
        rule = PAPER["discriminator"]
        options = {**vars(config), "discriminator": rule, "coreset_ratio": ratio, **options}
        options.setdefault("max_false_alarms", PAPER["max_false_alarms"])
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
        vectors = self.model.bank_.vectors
        return {
            "bank": len(vectors),
            "dimension": vectors.shape[1],
            "directions": directions(vectors),
        }


class OurExported(OurSoftPatch):
    """The same, predicting by a file exported for OpenVINO, as a line without torch would."""

    def __init__(self, config: FeatureConfig, ratio: float, precision: Precision) -> None:
        super().__init__(config, ratio, {})
        self.precision = precision

    def fit(self, paths: list[Path]) -> dict[str, float]:
        steps = super().fit(paths)
        with tempfile.TemporaryDirectory() as scratch:
            model, file = Path(scratch) / "part.softpatch", Path(scratch) / "part.xml"
            self.model.save(model)
            export_model(
                model, file, pictures=[], precision=self.precision, calibration=paths[:CALIBRATION]
            )
            self.exported = Detector(file)
        return steps

    def predict(self, path: Path) -> float:
        return float(self.exported.predict(path).score)


def directions(vectors: Tensor) -> int:
    """How many principal directions hold ``HELD`` of the vectors' variance.

    Trained backbones have hundreds. The fewer there are, the more pairs softpatch can skip, so
    its ratios only mean what they say where this is as with trained weights.
    """
    centred = vectors.double() - vectors.double().mean(dim=0)
    variance = torch.linalg.eigvalsh(centred.T @ centred).flip(0)  # descending
    return int((variance.cumsum(0) < HELD * variance.sum()).sum()) + 1
