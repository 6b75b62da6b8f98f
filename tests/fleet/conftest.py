"""A plant of two lines, fitted once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from softpatch.fleet.fleet import Fleet, fit_many
from tests.auditing.pictures import part

OPTIONS: dict[str, Any] = {
    "resize": 64,
    "crop": 64,
    "dimension": 64,
    "device": "cpu",
    "max_false_alarms": 0.1,
}
NAMES = ("line1/left", "line1/right", "line2/top")

Take = Callable[[int], npt.NDArray[np.uint8]]


def photograph(folder: Path, seeds: Sequence[int], take: Take = part) -> None:
    """Add a picture for every seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        Image.fromarray(take(seed)).save(folder / f"{seed:03}.png")


def other_part(seed: int) -> npt.NDArray[np.uint8]:
    """``(160, 160, 3)``: coarse noise, which looks like nothing of the line."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 255, (20, 20, 3)).astype(np.uint8)
    return np.asarray(blocks.repeat(8, axis=0).repeat(8, axis=1))


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


class Plant:
    """A copy to work with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "plant"
        self.models = folder / "models"

    def fit(self, **changes: Any) -> Fleet:
        return fit_many(self.folder, self.models, **{**OPTIONS, **changes})

    def outcomes(self, **changes: Any) -> dict[str, str]:
        return {line.visit.camera: line.visit.outcome for line in self.fit(**changes).lines}


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plant and models; do not write to it."""
    folder = tmp_path_factory.mktemp("fitted")
    plant = Plant(folder)
    for number, name in enumerate(NAMES):
        photograph(plant.folder / name, range(100 * number, 100 * number + 16))
    assert plant.outcomes() == dict.fromkeys(NAMES, "fitted")
    return folder


@pytest.fixture
def plant(fitted: Path, tmp_path: Path, one_backbone: None) -> Plant:
    shutil.copytree(fitted, tmp_path / "copy")  # times, too
    return Plant(tmp_path / "copy")
