"""A synthetic data set small enough for a whole grid, and features small enough to fit it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from softpatch.benchmark.grid import Grid, read_grid
from softpatch.benchmark.run import RunSettings
from softpatch.datasets import make_product_line
from tests.threads import thread_count

SMALL: Mapping[str, Any] = {"resize": 64, "crop": 64}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Pictures so small gain nothing from more, and other work would make them wait."""
    with thread_count(1):
        yield


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two categories; do not write to it."""
    root = tmp_path_factory.mktemp("lines")
    for seed, name in enumerate(("flange", "washer")):
        make_product_line(
            root / name, n_train=10, n_test_good=3, n_per_defect=1, image_size=64, seed=seed
        )
    return root


def small_grid(root: Path, **content: Any) -> Grid:
    return read_grid({"data": str(root), "options": SMALL, "categories": ["flange"], **content})


def settings(output: Path, **changes: Any) -> RunSettings:
    given = {
        "output": output, "features": output / "features", "features_limit": 10**9,
        "device": "cpu", "memory_limit": None, "jobs": 1, "threads": torch.get_num_threads(),
    }  # fmt: skip
    return RunSettings(**{**given, **changes})
