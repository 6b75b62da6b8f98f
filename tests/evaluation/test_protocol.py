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
from softpatch.errors import DatasetError, ImageError, NotFittedError, UsageError
from softpatch.evaluation import protocol
from softpatch.evaluation.difficulty import rate_difficulty
from softpatch.evaluation.measurement import Measurement
from softpatch.evaluation.protocol import evaluate
from softpatch.evaluation.row import Evaluation

pytestmark = pytest.mark.usefixtures("one_backbone")

SIZE = 96
SMALL: dict[str, Any] = {"resize": 64, "crop": 64, "dimension": 64}
METRICS = ["image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "aupro"]


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


def test_false_alarms_and_defects_found_are_those_at_the_models_own_threshold(
    line: Path, result: Evaluation
) -> None:
    contamination = contaminate(read_category(line), 0.25, overlap=True, seed=2)
    detector = SoftPatch(seed=2, max_false_alarms=0.3, **SMALL)
    row, predictions = evaluate("softpatch", detector, contamination)
    bad = {str(sample.path) for sample in contamination.test if sample.defective}
    assert detector.threshold_ is not None
    called = {one.name for one in predictions if one.score > detector.threshold_}
    good = {str(sample.path) for sample in contamination.test} - bad
    assert (row.n_test_bad, row.n_test) == (len(bad), len(bad | good))
    assert row.found == len(called & bad) / len(bad)
    assert row.false_alarms == len(called - bad) / len(good)
    assert result.found is not None  # a fit chooses a threshold unless told otherwise
    assert result.found <= row.found
    none = SoftPatch(seed=2, max_false_alarms=None, **SMALL)
    row, _ = evaluate("softpatch", none, contamination)
    assert (row.false_alarms, row.found, row.n_test_bad) == (None, None, len(bad))


def test_no_overlap_tests_on_what_is_left(line: Path) -> None:
    contamination = contaminate(read_category(line), 0.25, overlap=False, seed=2)
    reported: list[tuple[str, int, int]] = []
    row, predictions = evaluate(
        "padim", PaDiM(**SMALL), contamination, progress=lambda *step: reported.append(step)
    )
    assert row.policy == "no-overlap"
    assert (row.n_train, row.n_injected, row.n_test) == (15, 3, 9)
    assert [p.name for p in predictions] == [str(sample.path) for sample in contamination.test]
    assert reported[-1] == ("predict", 9, 9)


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


def refused(folder: Path, detector: PaDiM) -> None:
    evaluate("padim", detector, contaminate(read_category(folder), 0, overlap=False, seed=0))


def test_mask_of_another_size_is_a_dataset_error_before_the_fit(own_line: Path) -> None:
    path = own_line / "ground_truth" / "stain" / "000_mask.png"
    Image.fromarray(np.zeros((SIZE, SIZE + 1), np.uint8)).save(path)
    detector = PaDiM(**SMALL)
    with pytest.raises(DatasetError, match=rf"{path}: is \(96, 97\) pixels, its picture \(96, 96"):
        refused(own_line, detector)
    with pytest.raises(NotFittedError):
        detector.predict([own_line / "test" / "good" / "000.png"])


def test_unreadable_mask_is_an_image_error_before_the_fit(own_line: Path) -> None:
    path = own_line / "ground_truth" / "stain" / "000_mask.png"
    path.write_bytes(b"no picture")
    detector = PaDiM(**SMALL)
    with pytest.raises(ImageError, match=str(path)):
        refused(own_line, detector)
    with pytest.raises(NotFittedError):
        detector.predict([own_line / "test" / "good" / "000.png"])


def test_the_mask_of_a_picture_that_cannot_be_read_does_not_matter(own_line: Path) -> None:
    (own_line / "ground_truth" / "stain" / "000_mask.png").write_bytes(b"no picture")
    (own_line / "test" / "stain" / "000.png").write_bytes(b"")
    with pytest.warns(UnreadableImageWarning, match="skipped 1|stain"):
        row = run(own_line, on_unreadable=warn_unreadable)
    assert row.n_test == 11


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


# --- kinds, native pixels, audit -----------------------------------------------------------------


def test_row_tells_the_kind_and_how_well_the_injected_are_suspected(result: Evaluation) -> None:
    assert (result.kind, result.pixel_at) == ("defects", "input")
    assert result.audit_auroc is not None
    assert 0 <= result.audit_auroc <= 1


def test_audit_needs_suspicion_and_injected_pictures(line: Path) -> None:
    category = read_category(line)
    dirty = contaminate(category, 0.25, overlap=True, seed=2)
    clean = contaminate(category, 0, overlap=True, seed=2)
    assert evaluate("padim", PaDiM(**SMALL), dirty)[0].audit_auroc is None
    assert evaluate("softpatch", SoftPatch(**SMALL), clean)[0].audit_auroc is None


def test_audit_is_one_where_the_injected_are_the_most_suspicious(line: Path) -> None:
    """Pictures of another product among those of one line."""
    category = read_category(line)
    other = dataclasses.replace(category, name="noise", folder=line / "none")
    noise = [line / "none" / f"{index}.png" for index in range(3)]
    (line / "none").mkdir(exist_ok=True)
    for index, path in enumerate(noise):
        pixels = np.random.default_rng(index).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    other = dataclasses.replace(other, train=tuple(Sample(path, "good") for path in noise), test=())
    drawn = contaminate(category, 0.25, overlap=True, seed=0, kind="other-category", others=[other])
    row, _ = evaluate("softpatch-gaussian", SoftPatch(discriminator="nearest", **SMALL), drawn)
    assert row.audit_auroc == 1
    assert (row.kind, row.n_injected, row.n_test) == ("other-category", 3, 12)


def test_native_pixel_metrics_are_near_those_at_input_and_image_metrics_the_same(
    line: Path, result: Evaluation
) -> None:
    contamination = contaminate(read_category(line), 0.25, overlap=True, seed=2)
    row, _ = evaluate("softpatch", SoftPatch(seed=2, **SMALL), contamination, pixel_at="native")
    assert row.pixel_at == "native"
    for name in METRICS[:3]:
        assert getattr(row, name) == getattr(result, name)
    for name in METRICS[3:]:
        assert getattr(row, name) != getattr(result, name)
        assert getattr(row, name) == pytest.approx(getattr(result, name), abs=0.05)


def test_unknown_frame_is_refused_before_the_fit(line: Path) -> None:
    contamination = contaminate(read_category(line), 0, overlap=True, seed=2)
    detector = PaDiM(**SMALL)
    with pytest.raises(UsageError, match="input or native, got 'screen'"):
        evaluate("padim", detector, contamination, pixel_at="screen")
    with pytest.raises(NotFittedError):
        _ = detector.image_names_


def test_measuring_in_blocks_changes_nothing(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contamination = contaminate(read_category(line), 0, overlap=True, seed=2)
    whole, predictions = evaluate("padim", PaDiM(**SMALL), contamination)
    monkeypatch.setattr(protocol, "WAITING", 5)
    blocks, none = evaluate("padim", PaDiM(**SMALL), contamination, keep=False)
    assert (len(predictions), none) == (12, [])
    assert whole.n_test == blocks.n_test == 12
    assert [getattr(blocks, name) for name in METRICS] == [getattr(whole, name) for name in METRICS]


def test_one_fit_serves_both_policies(line: Path) -> None:
    """The test set without the injected pictures is measured from the same predictions."""
    both = [contaminate(read_category(line), 0.25, overlap=o, seed=2) for o in (True, False)]
    detector = PaDiM(**SMALL)
    whole, predictions = evaluate("padim", detector, both[0])
    left = Measurement(detector, both[1].test)
    for prediction in predictions:
        left.add(prediction)
    alone, _ = evaluate("padim", PaDiM(**SMALL), both[1])
    assert len(left.labels) == alone.n_test == whole.n_test - 3
    expected = {name: getattr(alone, name) for name in METRICS}
    assert left.metrics() == pytest.approx(expected, abs=1e-6)  # other batches round otherwise


def test_difficulty_rates_every_defect_and_nothing_else(line: Path) -> None:
    category = read_category(line)
    rated = rate_difficulty(category, PaDiM(**SMALL))
    assert list(rated) == [sample.path for sample in category.defects]
    detector = PaDiM(**SMALL).fit([sample.path for sample in category.train])
    for path, value in rated.items():
        assert value == pytest.approx(-detector.predict(path).score)


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
