"""What a fit will take is foreseen in the right order of magnitude, and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softpatch import DatasetError, PaDiM, PatchCore, RandomBank, RandomEnsemble, SoftPatch
from softpatch.compute.scratch import RESERVE, resident_bytes
from softpatch.detectors import Detector
from softpatch.detectors.estimate import memory_and_scratch

SMALL: dict[str, Any] = {"resize": 64, "crop": 64, "dimension": 64, "device": "cpu"}
pytestmark = pytest.mark.usefixtures("one_backbone")


@pytest.mark.parametrize("kind", [SoftPatch, PatchCore, PaDiM, RandomBank, RandomEnsemble])
def test_sizes_are_those_of_the_fit(
    kind: type[Detector], small_pictures: Path, tmp_path: Path
) -> None:
    detector = kind(**SMALL)
    foreseen = detector.estimate(small_pictures)
    steps: list[str] = []
    detector.fit(small_pictures, progress=lambda step, *_: steps.append(step))
    detector.save(tmp_path / "model")
    assert foreseen.images == 8
    assert foreseen.patches == 8 * 64
    header = 10_000  # names, options
    assert foreseen.model <= (tmp_path / "model").stat().st_size <= foreseen.model + header
    assert list(foreseen.seconds) == list(dict.fromkeys(steps))
    assert all(seconds > 0 for seconds in foreseen.seconds.values())
    assert foreseen.total_seconds == pytest.approx(sum(foreseen.seconds.values()))


@pytest.mark.parametrize(("discriminator", "length"), [("lof", 1.0), ("position-free", 0.5)])
def test_twice_the_pictures_take_twice_the_patches_and_room(
    discriminator: str, length: float
) -> None:
    options: dict[str, Any] = {**SMALL, "discriminator": discriminator}
    pictures = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), dtype=np.uint8)
    few, many = (SoftPatch(**options).estimate(pictures[:count]) for count in (16, 32))
    assert many.patches == 2 * few.patches
    # Directions along which the pictures are kept, of the numbers that are compared.
    once = 4 * (length * SMALL["dimension"]) ** 2
    assert many.model - once == pytest.approx(2 * (few.model - once), rel=0.01)


def test_tiles_are_counted() -> None:
    pictures = np.zeros((4, 150, 200, 3), np.uint8)
    plain, tiled = (SoftPatch(**SMALL, tile=tile).estimate(pictures) for tile in (None, 64))
    layout = SoftPatch(**SMALL, tile=64).preprocessing.layout(150, 200)
    assert tiled.patches == plain.patches * len(layout.tiles)


def test_an_unfitted_detector_keeps_no_marks(small_pictures: Path) -> None:
    detector = SoftPatch(**SMALL)
    before = {name: id(value) for name, value in vars(detector).items() if name != "_extractor"}
    detector.estimate(small_pictures)
    after = {name: id(value) for name, value in vars(detector).items() if name != "_extractor"}
    assert after == before


def test_a_fitted_detector_stays_as_it_is(small_detector: SoftPatch, small_pictures: Path) -> None:
    before = small_detector.image_names_, small_detector.predict(small_pictures / "0.png").score
    small_detector.estimate(sorted(small_pictures.iterdir())[:3])
    after = small_detector.image_names_, small_detector.predict(small_pictures / "0.png").score
    assert before == after


def test_unreadable_pictures_are_passed_over(small_pictures: Path) -> None:
    pictures = [*sorted(small_pictures.iterdir())[:4], Path("none.png")]
    assert SoftPatch(**SMALL).estimate(pictures).images == 4
    with pytest.raises(DatasetError, match="0 readable training pictures"):
        SoftPatch(**SMALL).estimate([])
    with pytest.raises(DatasetError, match="at least 2"):
        SoftPatch(**SMALL).estimate([Path("none.png")] * 3)


def test_what_does_not_fit_the_limit_goes_to_files() -> None:
    roomy, gigabyte = resident_bytes() + 100 * 10**9, 10**9
    memory, scratch = memory_and_scratch([gigabyte, gigabyte], roomy)
    assert scratch == 0
    assert memory == pytest.approx(resident_bytes() + RESERVE + 2 * gigabyte, rel=0.05)
    limit = resident_bytes() + RESERVE + int(1.5 * gigabyte)
    memory, scratch = memory_and_scratch([gigabyte, gigabyte], limit)
    assert (memory, scratch) == (limit, gigabyte)


@pytest.mark.parametrize("readable", [{1, 3, 5, 7, 9, 11, 13, 15}, {14, 15}, set(range(8))])
def test_readable_pictures_are_found_wherever_they_are_and_others_counted(
    small_pictures: Path, tmp_path: Path, readable: set[int]
) -> None:
    for index in range(16):
        good = (small_pictures / f"{index % 8}.png").read_bytes()
        (tmp_path / f"{index:02}.png").write_bytes(good if index in readable else b"cut")
    foreseen = PatchCore(**SMALL).estimate(tmp_path)
    share = len(readable) / 16
    assert foreseen.looked_at - foreseen.unreadable == len(readable)
    assert foreseen.images == pytest.approx(16 * share, abs=3)


def test_a_folder_without_two_readable_pictures_says_how_many_there_are(tmp_path: Path) -> None:
    for index in range(9):
        (tmp_path / f"{index}.png").write_bytes(b"cut")
    with pytest.raises(DatasetError, match=r"0 readable training pictures \(9 skipped\)"):
        PatchCore(**SMALL).estimate(tmp_path)
