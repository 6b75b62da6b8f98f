"""Fixtures shared by all tests: where the real pictures lie, and small made-up ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from softpatch import SoftPatch
from softpatch.detectors import base
from softpatch.export import export_model
from softpatch.features import extractor
from softpatch.features.backbones import Backbone, named_backbone
from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import FeatureConfig, configure
from softpatch.images.decode import read_image

T = TypeVar("T")

DATA_VARIABLE = "SOFTPATCH_DATA"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also the tests that take minutes each")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; --long runs it"))


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


@pytest.fixture(scope="session")
def bottle_patches(bottle: Path) -> Tensor:
    """``(24, 28, 28, 1024)`` patches of good bottles and broken ones, by the default features."""
    extractor = PatchExtractor(configure("edge"), torch.device("cpu"))
    good = sorted((bottle / "train" / "good").iterdir())[:20]
    broken = sorted((bottle / "test" / "broken_large").iterdir())[:4]
    batches = [extractor(extractor.preprocessing(read_image(path))) for path in good + broken]
    return torch.cat(batches)


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


@pytest.fixture(scope="session")
def small_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``pictures``, made once; do not write to it."""
    folder = tmp_path_factory.mktemp("small") / "pictures"
    folder.mkdir()
    for index in range(8):
        noise = np.random.default_rng(index).integers(0, 20, size=(48, 64, 3))
        base = np.linspace(40, 200, 64)[None, :, None]
        Image.fromarray((base + noise).astype(np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def small_detector(small_pictures: Path) -> SoftPatch:
    """Fitted on ``small_pictures``; do not fit it again."""
    return SoftPatch(resize=64, crop=64, dimension=64, max_false_alarms=None).fit(small_pictures)


@pytest.fixture(scope="session")
def small_model(small_detector: SoftPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``small_detector``'s model file; do not write to it."""
    path = tmp_path_factory.mktemp("model") / "small.softpatch"
    small_detector.save(path)
    return path


@pytest.fixture(scope="session")
def exported(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``small_model`` as ONNX, with a threshold of 1; do not write to it."""
    pytest.importorskip("onnxruntime", reason="needs softpatch[export]")
    path = tmp_path_factory.mktemp("exported") / "small.onnx"
    export_model(small_model, path, pictures=[], threshold=1.0)
    return path


@contextmanager
def no_larger_files(size: int) -> Iterator[None]:
    """Let the system end whatever writes more to a file, as a full disk does."""
    resource = pytest.importorskip("resource", reason="not on Windows")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def one_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds each extractor once a session instead of once a detector (2 s each)."""
    share_backbones(monkeypatch)


def share_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build each extractor of this process, and of its forks, once."""
    monkeypatch.setattr(base, "PatchExtractor", _build_extractor)
    monkeypatch.setattr(extractor, "named_backbone", _build_backbone)


def _build_extractor(
    config: FeatureConfig, device: torch.device, backbone: nn.Module | None = None
) -> PatchExtractor:
    if backbone is not None:
        return PatchExtractor(config, device, backbone)
    return _once(PatchExtractor, config, device)


def _build_backbone(name: str, layers: tuple[str, ...] | None, weights: str | None) -> Backbone:
    return _once(named_backbone, name, layers, weights)


_built: dict[str, Any] = {}


def _once(make: Callable[..., T], *arguments: object) -> T:
    key = repr((make, arguments))
    if key not in _built:
        _built[key] = make(*arguments)
    result: T = _built[key]
    return result
