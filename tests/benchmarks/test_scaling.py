"""How growth is measured and put into words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.grown import GrownPictures
from benchmarks.scaling import ScalingRun, Size, run_scaling, sizes
from benchmarks.scaling_sections import AXES, scaling_sections, slope
from softpatch.benchmark.results import Row
from softpatch.datasets import make_product_line


@given(exponent=st.floats(-3, 3), factor=st.floats(1e-3, 1e3))
def test_the_exponent_of_a_power_law(exponent: float, factor: float) -> None:
    points = [(x, factor * x**exponent) for x in (1.0, 2.0, 5.0, 40.0)]
    assert slope(points) == pytest.approx(exponent, abs=1e-9)


def test_no_exponent_without_two_sizes_or_with_a_zero() -> None:
    assert slope([(1, 1)]) is None
    assert slope([(1, 1), (1, 2)]) is None
    assert slope([(1, 0), (2, 1)]) is None


@pytest.fixture(scope="module")
def flange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines") / "flange"
    make_product_line(folder, n_train=4, n_test_good=3, n_per_defect=1, image_size=64)
    return folder


def test_each_axis_has_its_sizes() -> None:
    found = list(sizes(AXES))
    assert {axis for axis, _ in found} == {"images", "image_size", "bank_size"}
    assert len(found) == 16
    assert ("images", Size(100)) in found


def test_grown_pictures_are_always_the_same_and_never_alike(flange: Path) -> None:
    paths = sorted((flange / "train" / "good").iterdir())[:2]
    grown = GrownPictures(paths, 5, side=32)
    pictures = [grown[index] for index in range(len(grown))]
    again = GrownPictures(paths, 5, side=32)
    for index, picture in enumerate(pictures):
        assert picture.shape == (32, 32, 3)
        assert np.array_equal(picture, again[index])
    assert len({picture.tobytes() for picture in pictures}) == 5
    assert np.array_equal(GrownPictures(paths, 2, side=32, first=3)[1], pictures[4])


def test_each_size_once_in_its_own_process_and_kept(flange: Path, tmp_path: Path) -> None:
    size = Size(images=4, image_size=64)
    work = [("images", ScalingRun(str(flange), "padim", size, "cpu", None, threads=1))]
    reported: list[int] = []
    rows = run_scaling(work, tmp_path, finished=lambda rows: reported.append(len(rows)))
    [row] = rows
    assert (row["status"], row["axis"], row["value"]) == ("ok", "images", 4), row["reason"]
    assert row["fit_seconds"] > 0
    assert row["coreset_seconds"] is None
    assert run_scaling(work, tmp_path, finished=lambda rows: reported.append(len(rows))) == rows
    assert reported == [0, 1, 1]


def grown_row(images: int, **changes: float) -> Row:
    times = {
        "embed_seconds": images / 10, "discriminate_seconds": images**2 / 1e4,
        "coreset_seconds": 3.0, "gaussians_seconds": None, "other_seconds": images**0.5,
        "fit_seconds": images / 5, "predict_seconds_per_image": 0.1, "peak_memory_mb": 900.0,
    }  # fmt: skip
    return {
        "category": "flange", "method": "softpatch-lof", "options": "{}", "axis": "images",
        "value": images, "images": images, "image_size": 224, "bank_size": 10, "status": "ok",
        "reason": "", "bank_vectors": 10, **times, **changes,
    }  # fmt: skip


def test_the_page_says_where_it_grows_linearly() -> None:
    lost = {**grown_row(1000), "status": "failed", "reason": "MemoryError"}
    missing, section = scaling_sections([*map(grown_row, (100, 200, 400)), lost])
    assert missing.tables[0].rows == (("softpatch-lof, images 1000", "MemoryError"),)
    growth = {line[1]: line[2:] for line in section.tables[0].rows}
    assert growth["embed"] == ("1.00", "1.00", "linearly")
    assert growth["discriminate"] == ("2.00", "2.00", "faster than linearly")
    assert growth["coreset"] == ("0.00", "0.00", "hardly")
    assert growth["rest of the fit"] == ("0.50", "0.50", "slower than linearly")
    assert "gaussians" not in growth
    assert len(section.figures) == 1
