"""What the training images say of black and white, through a fit and all that comes after it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import softpatch
from softpatch import SoftPatch, UsageError, load
from softpatch.detectors.merge import merge
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import OddImageWarning, listed_sources
from softpatch.images.value_range import LOOKED_AT, seen_intensity
from softpatch.runtime.intensity import FULL
from softpatch.storage import model_file

SMALL: dict[str, Any] = {"resize": 64, "dimension": 64, "max_false_alarms": None}
pytestmark = pytest.mark.usefixtures("one_backbone")


def gradient(seed: int, white: int = 4095) -> Any:
    """``(48, 64)`` uint16 up to about ``white``: a gradient with noise."""
    noise = np.random.default_rng(seed).normal(0, 0.02, (48, 64))
    return ((np.linspace(0.1, 0.9, 64) + noise).clip(0, 1) * white).round().astype(np.uint16)


def camera(folder: Path, white: int = 4095, shift: int = 0, suffix: str = ".png") -> Path:
    """Six pictures of a camera."""
    folder.mkdir()
    for seed in range(6):
        stored = gradient(seed, white) << shift
        Image.fromarray(stored).save(folder / f"{seed}{suffix}")
    return folder


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of a camera of 12 bits; do not write to it."""
    return camera(tmp_path_factory.mktemp("camera") / "twelve")


@pytest.fixture(scope="module")
def fitted(twelve: Path) -> SoftPatch:
    """Fitted on them; do not change it."""
    return SoftPatch(**SMALL).fit(twelve)


@pytest.mark.parametrize(
    ("white", "shift", "high"),
    [(1023, 0, 1023), (4095, 0, 4095), (4095, 4, 65520), (16383, 0, 16383), (65535, 0, 65535)],
)
def test_all_files_are_looked_at(white: int, shift: int, high: int, tmp_path: Path) -> None:
    folder = camera(tmp_path / "camera", white, shift, ".tif")
    for seed in range(30):  # dark ones, among which the first few that are looked at lie
        Image.fromarray(gradient(seed, 60) << shift).save(folder / f"1{seed:02}.tif")
    Image.new("RGB", (8, 8), "white").save(folder / "of 8 bits.png")
    (folder / "broken.png").write_bytes(b"no picture")
    assert seen_intensity(listed_sources(folder)) == (0, high)


def test_pictures_of_eight_bits_have_the_usual_range(small_pictures: Path) -> None:
    assert seen_intensity(listed_sources(small_pictures)) == FULL


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy, Image.fromarray, lambda a: (a, 1)])
def test_pictures_in_memory_are_looked_at(wrap: Callable[[Any], Any]) -> None:
    many = [wrap(gradient(0, 200)) for _ in range(40)]
    many[21] = wrap(gradient(0, 16383))
    assert seen_intensity(listed_sources(many)) == (0, 16383)
    assert seen_intensity(listed_sources([np.zeros((4, 4, 3)), None])) == FULL


def test_of_pictures_to_be_fetched_a_few_are_looked_at() -> None:
    fetched: list[int] = []

    def fetch(index: int) -> Any:
        fetched.append(index)
        return gradient(index)

    sources = [ImageSource(str(index), partial(fetch, index)) for index in range(200)]
    assert seen_intensity(sources) == (0, 4095)
    assert len(fetched) == LOOKED_AT


def test_a_fit_takes_the_range_and_the_model_keeps_it(
    fitted: SoftPatch, twelve: Path, tmp_path: Path
) -> None:
    assert fitted.features.intensity == fitted.preprocessing.intensity == (0, 4095)
    fitted.save(tmp_path / "m.softpatch")
    header, _ = model_file.read(tmp_path / "m.softpatch")
    assert header["preprocessing"]["intensity"] == [0, 4095]
    loaded = load(tmp_path / "m.softpatch")
    path = twelve / "0.png"
    assert loaded.predict(path).score == fitted.predict(path).score
    assert loaded.digest() == fitted.digest()


def test_every_depth_scores_as_eight_bits_do(fitted: SoftPatch, tmp_path: Path) -> None:
    """The same scene by cameras of 10 to 16 bits, packed and shifted."""
    expected = None
    for number, (white, shift) in enumerate(((255, 8), (1023, 0), (4095, 4), (65535, 0))):
        folder = camera(tmp_path / str(number), white, shift)
        new = gradient(9, white) << shift
        score = SoftPatch(**SMALL).fit(folder).predict(new).score
        expected = expected or score
        assert score == pytest.approx(expected, rel=0.1)


def test_models_of_eight_bits_and_of_before_name_no_range(
    small_detector: SoftPatch, tmp_path: Path
) -> None:
    small_detector.save(tmp_path / "m.softpatch")
    header, tensors = model_file.read(tmp_path / "m.softpatch")
    assert "intensity" not in {**header["features"], **header["preprocessing"]}
    assert load(tmp_path / "m.softpatch").features.intensity == FULL
    header["features"]["intensity"] = [0, 4095]  # and none in preprocessing
    model_file.write(tmp_path / "m.softpatch", header, tensors)
    with pytest.raises(softpatch.ModelFileError, match="do not agree"):
        load(tmp_path / "m.softpatch")


def test_fitted_again_on_other_pictures_it_looks_again(twelve: Path, small_pictures: Path) -> None:
    detector = SoftPatch(**SMALL).fit(twelve)
    assert detector.fit(small_pictures).features.intensity == FULL


def test_a_range_that_is_given_overrules(twelve: Path) -> None:
    detector = SoftPatch(intensity=(0, 8191), **SMALL).fit(twelve)
    assert detector.features.intensity == (0, 8191)
    with pytest.raises(UsageError, match="intensity must be LOW:HIGH"):
        SoftPatch(intensity=(9, 9))


def test_a_new_picture_outside_the_range_is_told(fitted: SoftPatch, twelve: Path) -> None:
    assert fitted.predict(twelve / "0.png").remark is None
    bright = fitted.predict(gradient(1, 4_600))
    assert bright.remark is not None
    assert "the model's range is 0:4095" in bright.remark
    assert bright.score > 0


def test_what_is_told_of_its_values_is_no_reason_not_to_judge_it(fitted: SoftPatch) -> None:
    found = fitted.predict(gradient(1, 65_535))  # white nearly everywhere in the model's range
    assert str(found.remark).endswith("the model's range is 0:4095")


def test_pictures_outside_the_range_are_told_when_they_are_learned(twelve: Path) -> None:
    with pytest.warns(OddImageWarning, match=r"the model's range is 0:1023; so with 5 more"):
        SoftPatch(intensity=(0, 1023), **SMALL).fit(twelve)
    detector = SoftPatch(**SMALL).fit(twelve)
    with pytest.warns(OddImageWarning, match=r"image 0: has values from .*range is 0:4095$"):
        detector.update([gradient(7, 4_600)])


def test_models_of_other_ranges_cannot_be_merged(fitted: SoftPatch, tmp_path: Path) -> None:
    other = SoftPatch(**SMALL).fit(camera(tmp_path / "ten", 1023))
    words = "cannot be merged: intensity is 0:4095 in one and 0:1023 in the other"
    with pytest.raises(UsageError, match=words):
        merge(fitted, other)


def test_an_audit_sees_the_pictures_as_a_fit_does(twelve: Path) -> None:
    found = softpatch.audit(twelve, **{**SMALL, "max_false_alarms": 0.01})
    assert found.intensity == (0, 4095)
    assert not any(image.reasons for image in found.images)
