"""evaluate(): fit, predict and measure from end to end on a small tree."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from softpatch import PaDiM, SoftPatch, UnreadableImageWarning, warn_unreadable
from softpatch.datasets import Sample, contaminate, make_product_line, read_category
from softpatch.errors import DatasetError, ImageError
from softpatch.evaluation.protocol import Evaluation, evaluate, read_mask
from softpatch.preprocessing import Preprocessing

pytestmark = pytest.mark.usefixtures("one_backbone")

SIZE = 96
SMALL: dict[str, Any] = {"resize": 64, "crop": 64, "dimension": 64}
METRICS = ["image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "aupro"]
PLAIN = Preprocessing((64, 64), (64, 64), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("line") / "part"
    return make_product_line(root, n_train=12, n_test_good=4, n_per_defect=2, image_size=SIZE)


@pytest.fixture
def own_line(line: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    shutil.copytree(line, tmp_path / "part")
    return tmp_path / "part"


# --- the whole protocol --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(line: Path) -> Evaluation:
    contamination = contaminate(read_category(line), 0.25, overlap=True, seed=2)
    row, _ = evaluate("softpatch", SoftPatch(seed=2, **SMALL), contamination)
    return row


def test_row_tells_what_was_done(result: Evaluation) -> None:
    assert (result.method, result.category) == ("softpatch", "part")
    assert (result.noise, result.policy, result.seed) == (0.25, "overlap", 2)
    assert (result.n_train, result.n_injected, result.n_test) == (15, 3, 12)


def test_every_value_of_the_row_is_sane(result: Evaluation) -> None:
    row = result.as_dict()
    assert list(row) == [field.name for field in dataclasses.fields(Evaluation)]
    for name in METRICS:
        assert 0 <= row[name] <= 1
    assert row["pixel_auroc"] > 0.5  # better than guessing
    assert row["fit_seconds"] > 0
    assert row["predict_seconds_per_image"] > 0
    assert row["peak_memory_mb"] is None or 50 < row["peak_memory_mb"] < 1e6
    assert json.loads(json.dumps(row)) == row


def test_no_overlap_tests_on_what_is_left(line: Path) -> None:
    contamination = contaminate(read_category(line), 0.25, overlap=False, seed=2)
    told: list[tuple[str, int, int]] = []
    row, predictions = evaluate(
        "padim", PaDiM(**SMALL), contamination, progress=lambda *step: told.append(step)
    )
    assert row.policy == "no-overlap"
    assert (row.n_train, row.n_injected, row.n_test) == (15, 3, 9)
    assert [p.name for p in predictions] == [str(sample.path) for sample in contamination.test]
    assert told[-1] == ("predict", 9, 9)


def test_repeating_gives_the_same_metrics(line: Path, result: Evaluation) -> None:
    contamination = contaminate(read_category(line), 0.25, overlap=True, seed=2)
    row, _ = evaluate("softpatch", SoftPatch(seed=2, **SMALL), contamination)
    assert [getattr(row, name) for name in METRICS] == [getattr(result, name) for name in METRICS]


# --- masks and labels ----------------------------------------------------------------------------


def run(folder: Path, **options: Any) -> Evaluation:
    contamination = contaminate(read_category(folder), 0, overlap=False, seed=0)
    return evaluate("padim", PaDiM(**SMALL), contamination, **options)[0]


def test_without_masks_pixel_metrics_of_good_pictures_alone_are_none(own_line: Path) -> None:
    shutil.rmtree(own_line / "ground_truth")
    row = run(own_line)
    assert row.image_auroc is not None
    assert (row.pixel_auroc, row.pixel_ap, row.aupro) == (None, None, None)


def test_without_masks_and_without_good_pictures_nothing_is_measured(own_line: Path) -> None:
    shutil.rmtree(own_line / "ground_truth")
    shutil.rmtree(own_line / "test" / "good")
    row = run(own_line)
    assert [getattr(row, name) for name in METRICS] == [None] * 6
    assert row.n_test == 8


def test_pixel_metrics_leave_defects_without_a_mask_out(line: Path, own_line: Path) -> None:
    """A defect that nobody marked must not count as defect-free pixels."""
    shutil.rmtree(own_line / "ground_truth" / "chip")
    unmarked = run(own_line)
    shutil.rmtree(own_line / "test" / "chip")
    absent = run(own_line)
    assert unmarked.n_test == absent.n_test + 2
    assert unmarked.pixel_auroc == pytest.approx(absent.pixel_auroc, rel=1e-9)
    assert unmarked.aupro == pytest.approx(absent.aupro, rel=1e-9)
    assert unmarked.pixel_auroc != run(line).pixel_auroc


def test_mask_of_another_size_is_a_dataset_error(own_line: Path) -> None:
    path = own_line / "ground_truth" / "stain" / "000_mask.png"
    Image.fromarray(np.zeros((SIZE, SIZE + 1), np.uint8)).save(path)
    with pytest.raises(DatasetError, match=rf"{path}: is \(96, 97\) pixels, its picture \(96, 96"):
        run(own_line)


def test_unreadable_mask_is_an_image_error(own_line: Path) -> None:
    path = own_line / "ground_truth" / "stain" / "000_mask.png"
    path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=str(path)):
        run(own_line)


def test_unreadable_test_picture_is_skipped_on_request(own_line: Path) -> None:
    path = own_line / "test" / "stain" / "000.png"
    path.write_bytes(b"")
    with pytest.raises(ImageError, match=str(path)):
        run(own_line)
    with pytest.warns(UnreadableImageWarning, match=str(path)):
        row = run(own_line, on_unreadable=warn_unreadable)
    assert row.n_test == 11


def test_unreadable_training_picture_is_skipped_on_request(own_line: Path) -> None:
    path = own_line / "train" / "good" / "000.png"
    path.write_bytes(b"")
    with pytest.warns(UnreadableImageWarning, match=str(path)):
        row = run(own_line, on_unreadable=warn_unreadable)
    assert row.n_train == 11


def mask_file(folder: Path, pixels: np.ndarray[Any, np.dtype[Any]]) -> Sample:
    path = folder / "mask.png"
    Image.fromarray(pixels).save(path)
    return Sample(folder / "picture.png", "crack", (path,))


def test_mask_is_cut_at_127(tmp_path: Path) -> None:
    pixels = np.tile(np.array([0, 1, 127, 128, 254, 255], np.uint8), (64, 1)).repeat(11, 1)[:, :64]
    mask = read_mask(mask_file(tmp_path, pixels), (64, 64), PLAIN)
    np.testing.assert_array_equal(mask, pixels > 127)


def test_mask_follows_the_pictures_resize_and_crop(tmp_path: Path) -> None:
    pixels = np.zeros((100, 200), np.uint8)
    pixels[40:60, 100:140] = 255
    framing = Preprocessing((50, 50), (30, 20), PLAIN.mean, PLAIN.std)
    mask = read_mask(mask_file(tmp_path, pixels), (100, 200), framing)
    expected = np.zeros((50, 50), dtype=bool)
    expected[20:30, 25:35] = True  # half as high, a quarter as wide
    np.testing.assert_array_equal(mask, expected[10:40, 15:35])


def test_one_bit_and_colour_masks_are_read(tmp_path: Path) -> None:
    marked = np.zeros((64, 64), dtype=bool)
    marked[5:9, 20:50] = True
    for pixels in (marked, np.dstack([marked] * 3).astype(np.uint8) * 255):
        mask = read_mask(mask_file(tmp_path, pixels), (64, 64), PLAIN)
        np.testing.assert_array_equal(mask, marked)


def test_no_mask_is_a_blank_one() -> None:
    mask = read_mask(Sample(Path("a.png"), "good"), (64, 64), PLAIN)
    assert mask.shape == (64, 64)
    assert not mask.any()


def test_peak_memory_is_the_processes_own_in_megabytes() -> None:
    """300 MB are taken and given back in a child of this, much larger, process."""
    code = (
        "import numpy; from softpatch.evaluation.protocol import peak_memory_mb as peak;"
        "before = peak(); numpy.ones(300_000_000, dtype=numpy.uint8); print(before, peak())"
    )
    ballast = np.ones(1_500_000_000, dtype=np.uint8)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, after = (float(number) for number in done.stdout.split())
    assert 50 < before < ballast.nbytes / 1e6
    assert after == pytest.approx(before + 300, abs=100)
