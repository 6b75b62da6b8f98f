"""The size that most images of a set have, and the input of a network that suits it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from torch import Tensor, nn

from softpatch import PaDiM, PatchCore, SoftPatch, load
from softpatch.detectors import BankDetector, Detector
from softpatch.detectors.merge import merge
from softpatch.images.decode import image_size
from softpatch.images.shape import input_size, sides
from softpatch.images.sources import listed_sources, spread

LEAST, SQUARE = (224, 224), (320, 320)
FEW: dict[str, Any] = {"coreset_ratio": 0.02}
NOT_BY_SHAPE = [
    {"resize": 64},
    {"tile": 200},
    {"preset": "paper", "backbone": "resnet18", "weights": "random"},
]


def blank(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def strips(folder: Path, count: int = 3, size: tuple[int, int] = (300, 100)) -> Path:
    """Upright pictures of noise."""
    folder.mkdir()
    for index in range(count):
        noise = np.random.default_rng(index).integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    return folder


def seen(*images: Any) -> tuple[int, int]:
    return input_size(listed_sources(list(images)), LEAST)


def test_the_shape_is_that_of_nearly_all() -> None:
    alike = [blank(900, 300)] * 15
    assert seen(*alike, blank(300, 300)) == seen(*alike) == (560, 192)
    assert seen(blank(900, 300), blank(920, 300), blank(880, 300)) == (560, 192)
    assert seen(*alike[:8], *[blank(300, 900)] * 8) == SQUARE


def test_one_pixel_shows_two_at_least_and_there_are_not_too_many() -> None:
    assert seen(blank(900, 900)) == seen(blank(512, 512)) == SQUARE
    assert seen(blank(400, 400)) == (288, 288)
    assert seen(blank(256, 256), blank(400, 400), blank(900, 900)) == (288, 288)
    assert seen(blank(300, 300)) == LEAST
    assert seen(blank(40, 40)) == LEAST
    assert seen(blank(1260, 500)) == (512, 208)
    assert seen(blank(600, 800)) == (272, 368)


def test_what_cannot_be_read_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = tmp_path / "broken.png"
    assert seen(broken, blank(900, 300)) == (560, 192)
    assert seen(broken) == seen() == LEAST


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_a_file_is_that_of_its_picture(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (40, 20)).save(path, exif=exif)
    upright = (20, 40) if orientation < 5 else (40, 20)
    assert image_size(path, "it") == image_size(path.read_bytes(), "it") == upright
    assert image_size(lambda: path.read_bytes(), "it") == upright


@given(st.floats(0.01, 100), st.integers(224 * 224, 320 * 320))
def test_an_input_has_the_shape_and_the_pixels(shape: float, area: int) -> None:
    height, width = sides(shape, area)
    assert min(height, width) >= 64
    assert height % 16 == width % 16 == 0
    assert sides(1 / shape, area) == (width, height)
    assert math.isclose(height * width, area, rel_tol=0.13)
    most = area / 64**2
    assert math.isclose(height / width, min(max(shape, 1 / most), most), rel_tol=0.16)


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize("kind", [SoftPatch, PatchCore, PaDiM])
def test_a_fit_suits_the_input_to_the_pictures_and_so_does_its_file(
    kind: type[Detector], tmp_path: Path
) -> None:
    folder = strips(tmp_path / "strips")
    detector = kind(**({} if kind is PaDiM else FEW)).fit(folder)
    assert detector.preprocessing.resize == detector.preprocessing.crop == (384, 128)
    assert detector.extractor.grid == (48, 16)
    detector.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.digest() == detector.digest()
    path = folder / "0.png"
    assert again.predict(path).score == detector.predict(path).score
    assert again.predict(path).anomaly_map.shape == (384, 128)
    other = detector.clone()
    assert other.extractor is detector.extractor
    assert other.fit(folder).digest() == detector.digest()


@pytest.mark.usefixtures("one_backbone")
def test_a_second_fit_looks_at_its_own_pictures(tmp_path: Path) -> None:
    detector = PatchCore(**FEW).fit(strips(tmp_path / "strips"))
    detector.fit(strips(tmp_path / "squares", size=(100, 100)))
    assert detector.preprocessing.resize == LEAST
    assert detector.digest() == PatchCore(**FEW).fit(tmp_path / "squares").digest()


@pytest.mark.usefixtures("one_backbone")
def test_models_of_one_shape_merge(tmp_path: Path) -> None:
    folders = [strips(tmp_path / name) for name in ("one", "other")]
    models = [SoftPatch(**FEW).fit(folder) for folder in folders]
    merged = merge(*models)
    assert isinstance(merged, BankDetector)
    assert merged.preprocessing.resize == (384, 128)
    assert merged.update(folders[0]).predict(folders[0] / "0.png").anomaly_map.shape == (384, 128)


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize("options", NOT_BY_SHAPE)
def test_sizes_of_ones_own_and_of_papers_stay(options: dict[str, Any], tmp_path: Path) -> None:
    detector = PatchCore(**FEW, **options)
    before = detector.preprocessing
    assert detector.fit(strips(tmp_path / "strips")).preprocessing == before


@pytest.mark.usefixtures("one_backbone")
def test_an_estimate_knows_the_shape(tmp_path: Path) -> None:
    foreseen = PatchCore().estimate(strips(tmp_path / "strips"))
    assert foreseen.seen == (384, 128)
    assert foreseen.pixel == (300 / 384, 100 / 128)
    assert foreseen.patches == 3 * 48 * 16


class SquaresAlone(nn.Module):
    """A network that takes no other shape."""

    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

    def forward(self, images: Tensor) -> list[Tensor]:
        if images.shape[2] != images.shape[3]:
            raise ValueError("squares alone")
        return [nn.functional.avg_pool2d(images, 8)]


def test_a_network_that_takes_squares_alone_goes_on_so(tmp_path: Path) -> None:
    detector = PatchCore(**FEW, backbone=SquaresAlone()).fit(strips(tmp_path / "strips"))
    assert detector.preprocessing.resize == LEAST


def test_a_few_are_spread_over_all_and_the_rest_follows() -> None:
    for count in (0, 1, 7, 8, 9, 100):
        order = list(spread(count, 8))
        assert sorted(order) == list(range(count))
    assert list(spread(100, 4))[:4] == [0, 25, 50, 75]


def test_the_shape_is_that_of_readable_pictures_wherever_they_are(tmp_path: Path) -> None:
    for index in range(64):
        path = tmp_path / f"{index:02}.png"
        if index % 4 == 3:
            Image.new("L", (600, 300)).save(path)
        else:
            path.write_bytes(b"cut")
    height, width = input_size(listed_sources(tmp_path), (224, 224))
    assert width / height == pytest.approx(2, rel=0.1)
