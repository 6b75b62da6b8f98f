"""Odd files are flagged relative to the others, and sets odd throughout are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from softpatch.auditing.image_quality import ImageFacts, measure_images, oddities
from softpatch.compute.progress import silent
from softpatch.errors import ImageError
from softpatch.images.sources import ignore_unreadable, image_sources
from tests.auditing.pictures import part, parts


def look(folder: Path) -> list[ImageFacts]:
    return measure_images(image_sources(folder), ignore_unreadable, silent)


def codes(folder: Path) -> dict[str, list[str]]:
    """File name -> codes, of the files that have any."""
    pictures = look(folder)
    return {
        Path(picture.name).name: [reason.code for reason in reasons]
        for picture, reasons in zip(pictures, oddities(pictures), strict=True)
        if reasons
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty good pictures; do not write to it."""
    folder = tmp_path_factory.mktemp("odd") / "parts"
    parts(folder)
    return folder


def test_measures_are_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(part(0)).save(path)
    [picture] = look(tmp_path)
    grey = part(0).mean(axis=2) / 255
    assert picture.size == (160, 160)
    assert picture.mode == "RGB"
    assert picture.brightness == pytest.approx(grey.mean(), abs=1e-5)
    assert picture.greys.mean() == pytest.approx(grey.mean(), abs=2e-3)
    assert picture.contrast == pytest.approx(float(picture.greys.std()))


def test_sharpness_falls_with_blur_and_ignores_light(tmp_path: Path) -> None:
    image = Image.fromarray(part(0))
    for name, made in {
        "0": image,
        "1": image.filter(ImageFilter.GaussianBlur(1)),
        "2": image.filter(ImageFilter.GaussianBlur(2)),
        "dim": image.point([round(value * 0.7) for value in range(256)] * 3),
    }.items():
        made.save(tmp_path / f"{name}.png")
    sharp, soft, softer, dim = (picture.sharpness for picture in look(tmp_path))
    assert sharp - soft > 1.2
    assert soft - softer > 0.5
    assert dim == pytest.approx(sharp, abs=0.15)


def test_good_pictures_have_no_oddities(folder: Path) -> None:
    assert codes(folder) == {}


ODD: dict[str, Callable[[Image.Image], Image.Image]] = {
    "other-size": lambda image: image.resize((100, 120)),
    "other-mode": lambda image: image.convert("L"),
    "blank": lambda image: Image.new("RGB", image.size, (170, 170, 170)),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "too-dark": lambda image: image.point([value // 2 for value in range(256)] * 3),
    "too-bright": lambda image: image.point([min(255, value * 2) for value in range(256)] * 3),
}


@pytest.mark.parametrize("code", ODD)
def test_each_kind_is_found(code: str, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    ODD[code](Image.fromarray(part(99))).save(tmp_path / "odd.png")
    found = codes(tmp_path)
    assert list(found) == ["odd.png"]
    assert code in found["odd.png"]


@pytest.mark.parametrize("code", ["other-mode", "blurred", "too-dark", "too-bright"])
def test_a_set_that_is_so_throughout_is_not_flagged(code: str, tmp_path: Path) -> None:
    for number in range(12):
        ODD[code](Image.fromarray(part(number))).save(tmp_path / f"{number}.png")
    assert codes(tmp_path) == {}


def test_pictures_of_many_sizes_are_not_odd(tmp_path: Path) -> None:
    for number in range(12):
        image = Image.fromarray(part(number)).resize((150 + 3 * number, 150 + number))
        image.save(tmp_path / f"{number}.png")
    assert not any("other-size" in found for found in codes(tmp_path).values())


def test_a_few_pictures_tell_nothing_but_blank_ones(tmp_path: Path) -> None:
    Image.fromarray(part(0)).save(tmp_path / "0.png")
    Image.fromarray(part(1)).resize((80, 90)).save(tmp_path / "1.png")
    Image.new("RGB", (160, 160)).save(tmp_path / "2.png")
    assert codes(tmp_path) == {"2.png": ["blank"]}


def test_tiny_pictures_and_arrays_are_looked_at_too() -> None:
    arrays = [np.full((3, 5), 90 + at, dtype=np.uint8) for at in range(9)]
    pictures = measure_images(image_sources(arrays), ignore_unreadable, silent)
    assert [picture.size for picture in pictures] == [(3, 5)] * 9
    assert all(np.isnan(picture.sharpness) for picture in pictures)
    assert all(reason.code == "blank" for found in oddities(pictures) for reason in found)


def test_unreadable_pictures_are_handed_over(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    Image.fromarray(part(0)).save(tmp_path / "good.png")
    errors: list[ImageError] = []
    steps: list[tuple[str, int, int]] = []
    pictures = measure_images(
        image_sources(tmp_path), errors.append, lambda *step: steps.append(step)
    )
    assert [error.name for error in errors] == [str(tmp_path / "broken.png")]
    assert [picture.name for picture in pictures] == [str(tmp_path / "good.png")]
    assert steps == [("look", 1, 2)]


def test_no_flags_on_real_good_pictures(bottle: Path) -> None:
    pictures = measure_images(
        image_sources(sorted((bottle / "train" / "good").iterdir())[:40]), ignore_unreadable, silent
    )
    assert [found for found in oddities(pictures) if found] == []
