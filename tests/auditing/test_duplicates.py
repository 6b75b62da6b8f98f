"""Duplicates are found, and other similar pictures are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softpatch.auditing.duplicates import _connected, _distance, exact_duplicates, near_duplicates
from softpatch.auditing.image_quality import GREYS, ImageFacts, measure_images
from softpatch.compute.progress import silent
from softpatch.images.sources import ignore_unreadable, image_sources
from tests.auditing.pictures import part, parts


def look(folder: Path) -> list[ImageFacts]:
    return measure_images(image_sources(folder), ignore_unreadable, silent)


def names(pictures: list[ImageFacts], groups: list[list[int]]) -> list[list[str]]:
    return [[Path(pictures[at].name).name for at in group] for group in groups]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parts(tmp_path / "parts")
    return tmp_path / "parts"


def test_pictures_that_merely_look_alike_are_no_copies(folder: Path) -> None:
    pictures = look(folder)
    assert exact_duplicates(pictures) == []
    assert near_duplicates(pictures) == []


def test_same_pixels_in_other_files_are_exact_duplicates(folder: Path) -> None:
    Image.fromarray(part(3)).save(folder / "same.bmp")
    Image.fromarray(part(3)).save(folder / "same.png", compress_level=1)
    pictures = look(folder)
    assert names(pictures, exact_duplicates(pictures)) == [["003.png", "same.bmp", "same.png"]]
    assert near_duplicates(pictures) == []


def test_copies_in_other_clothes_are_near_duplicates(folder: Path) -> None:
    image = Image.fromarray(part(3))
    image.save(folder / "a.jpg", quality=80)
    image.resize((120, 120)).save(folder / "b.png")
    image.point([min(255, round(value * 1.03)) for value in range(256)] * 3).save(folder / "c.png")
    shifted = np.pad(part(3), ((1, 0), (0, 0), (0, 0)), mode="edge")[:-1]
    Image.fromarray(shifted).save(folder / "d.png")
    Image.fromarray(part(7)).save(folder / "e.jpg", quality=80)
    pictures = look(folder)
    found = names(pictures, near_duplicates(pictures))
    assert found == [["003.png", "a.jpg", "b.png", "c.png", "d.png"], ["007.png", "e.jpg"]]


def test_blank_and_few_pictures_are_no_trouble(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "0.png")
    Image.new("RGB", (64, 64), (9, 9, 9)).save(tmp_path / "1.png")
    assert near_duplicates([]) == near_duplicates(look(tmp_path)) == []
    Image.fromarray(part(0)).save(tmp_path / "2.png")
    Image.fromarray(part(1)).save(tmp_path / "3.png")
    assert near_duplicates(look(tmp_path)) == []


def test_distance_explains_shift_and_light(folder: Path) -> None:
    one, other = look(folder)[:2]
    a, b = one.greys, other.greys
    assert _distance(a, 3 * a - 1) < 1e-4
    assert _distance(a, a.roll((2, -3), (0, 1))) < 1e-4
    assert _distance(a, b) == _distance(b, a) > 0.05
    assert a.shape == (GREYS, GREYS)


def test_linked_pairs_are_one_group() -> None:
    assert _connected([(5, 1), (2, 3), (3, 4), (1, 9)]) == [[1, 5, 9], [2, 3, 4]]
    assert _connected([]) == []


def test_real_pictures_that_look_alike_are_no_copies(bottle: Path) -> None:
    """069 and 070 are two photographs of one bottle, with the same hair in the same place."""
    paths = sorted((bottle / "train" / "good").iterdir())[40:75]
    pictures = measure_images(image_sources(paths), ignore_unreadable, silent)
    assert names(pictures, near_duplicates(pictures)) == [["069.png", "070.png"]]
