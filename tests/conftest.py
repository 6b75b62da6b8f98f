"""Fixtures shared by all tests: where the real pictures lie, and small made-up ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DATA_VARIABLE = "SOFTPATCH_DATA"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real data sets; tests that need it are skipped where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get(DATA_VARIABLE, default))
    if not (folder / "mvtec_bottle").is_dir():
        pytest.skip(f"no real images in {folder}; set {DATA_VARIABLE} to their folder")
    return folder


@pytest.fixture(scope="session")
def bottle(real_data: Path) -> Path:
    return real_data / "mvtec_bottle"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of eight small pictures: the same gradient with fresh noise."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(8):
        noise = np.random.default_rng(index).integers(0, 20, size=(48, 64, 3))
        base = np.linspace(40, 200, 64)[None, :, None]
        Image.fromarray((base + noise).astype(np.uint8)).save(folder / f"{index}.png")
    return folder
