"""A service with one small model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from softpatch import load
from softpatch.serving import Models, ServerSettings, create_app

Make = Callable[..., FastAPI]


@pytest.fixture
def model(small_model: Path, tmp_path: Path, one_backbone: None) -> Path:
    """A model file with a threshold of 120 that may be written to; ``dark`` pictures exceed it."""
    path = tmp_path / "part.softpatch"
    detector = load(small_model)
    detector.threshold_ = 120.0
    detector._recalibrate(normal_limit=90.0)  # eight small pictures know little of what is normal
    detector.save(path)
    return path


@pytest.fixture
def make(model: Path) -> Make:
    """Makes a service of ``model`` and others, by ``ServerSettings``'s arguments."""

    def application(others: dict[str, Path] | None = None, **settings: Any) -> FastAPI:
        models = Models({"part": model, **(others or {})}, load)
        return create_app(models, ServerSettings(**settings))

    return application


@pytest.fixture
def client(make: Make) -> Iterator[TestClient]:
    with TestClient(make()) as running:
        yield running
