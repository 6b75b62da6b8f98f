"""Pictures that look otherwise than those learned from: by every door, and through the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from softpatch import Detector, PaDiM, PatchCore, SoftPatch, load
from softpatch.datasets import contaminate, read_category
from softpatch.detectors.merge import merge
from softpatch.errors import ImageError, ModelFileError, UnusableImageError
from softpatch.evaluation.protocol import evaluate
from softpatch.export import export_model
from softpatch.images.sources import OddImageWarning
from softpatch.runtime import Detector as Runtime
from softpatch.storage import model_file
from softpatch.watch.scoring import by_model
from softpatch.watch.watching import watch
from tests.cli.test_cli import Run, run

__all__ = ["run"]  # a fixture

SMALL: dict[str, Any] = {"resize": 64, "dimension": 64, "max_false_alarms": None}
pytestmark = pytest.mark.usefixtures("one_backbone")
BLACK = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture
def new(tmp_path: Path, small_pictures: Path) -> Path:
    """A folder with a good picture, a black one, a blurred one, and one of another shape."""
    folder = tmp_path / "new"
    folder.mkdir()
    with Image.open(small_pictures / "0.png") as good:
        good.save(folder / "good.png")
        good.filter(ImageFilter.GaussianBlur(4)).save(folder / "blurred.png")
        good.crop((0, 0, 32, 48)).save(folder / "half.png")
    noise = np.random.default_rng(0).integers(0, 4, BLACK.shape, np.uint8)
    Image.fromarray(noise).save(folder / "black.png")
    return folder


def refused(found: list[ImageError]) -> dict[str, str]:
    return {Path(error.name).name: error.reason.split(":")[0] for error in found}


EXPECTED = {"black.png": "is black", "blurred.png": "is blurred"}


def test_they_are_not_judged_in_python_and_by_the_runtime_in_the_same_words(
    new: Path, small_detector: SoftPatch, exported: Path
) -> None:
    ours: list[ImageError] = []
    theirs: list[ImageError] = []
    scored = list(small_detector.predict(new, on_unreadable=ours.append))
    also = list(Runtime(exported).predict(new, on_unreadable=theirs.append))
    assert refused(ours) == EXPECTED
    assert [str(error) for error in ours] == [str(error) for error in theirs]
    assert [Path(one.name).name for one in scored] == ["good.png", "half.png"]
    assert [one.remark for one in scored] == [one.remark for one in also]
    assert scored[0].remark is None
    assert str(scored[1].remark).endswith("another shape")


def test_one_alone_is_an_error_unless_it_shall_be_scored(
    new: Path, small_detector: SoftPatch
) -> None:
    with pytest.raises(UnusableImageError, match=r"black\.png: is black"):
        small_detector.predict(new / "black.png")
    with pytest.raises(UnusableImageError, match="image 0: is black"):
        small_detector.predict([BLACK], on_unreadable=_raise).__next__()
    found = list(small_detector.predict(new, refuse_unusable=False))
    assert len(found) == 4
    assert str(found[0].remark).startswith("is black")
    assert found[0].score > 0


def _raise(error: ImageError) -> None:
    raise error


def test_tables_say_why_and_strict_ends_with_1(
    run: Run, new: Path, small_model: Path, exported: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    command = ["predict", small_model, new, "-o", output]
    assert run(*command).code == 0
    said = json.loads((output / "predictions.json").read_text())
    assert {Path(one["path"]).name: one["reason"].split(":")[0] for one in said["skipped"]} == (
        EXPECTED
    )
    table = (output / "predictions.csv").read_text()
    assert "not judged: is black" in table
    assert "another shape" in table
    assert run(*command, "--strict").code == 1
    for name in EXPECTED:
        (new / name).unlink()
    result = run(*command, "--strict")
    assert result.code == 1
    assert "half.png: has 32 x 48 pixels" in result.error
    there = [str(exported), str(new), "-o", str(tmp_path / "there")]
    runtime = [sys.executable, "-m", "softpatch.runtime", *there]
    assert subprocess.run(runtime, check=False).returncode == 0
    strictly = subprocess.run([*runtime, "--strict"], capture_output=True, text=True, check=False)
    assert strictly.returncode == 1
    assert "half.png: has 32 x 48 pixels" in strictly.stderr.splitlines()[-1]
    (new / "half.png").unlink()
    assert run(*command, "--strict").code == 0


def test_none_that_can_be_judged_is_an_error(
    run: Run, new: Path, small_model: Path, tmp_path: Path
) -> None:
    for name in ("good.png", "half.png"):
        (new / name).unlink()
    result = run("predict", small_model, new, "-o", tmp_path / "out")
    assert result.code == 1
    assert "none of the pictures can be judged" in result.error


def test_a_watched_folder_s_journal_says_why(
    new: Path, small_detector: SoftPatch, tmp_path: Path
) -> None:
    score = by_model(small_detector)
    output = tmp_path / "out"
    output.mkdir()
    records = list(watch(score, new, output, once=True, interval=0.01, patience=0.02))
    errors = {one["path"]: one["error"] for one in records if "error" in one}
    assert set(errors) == set(EXPECTED)
    assert errors["black.png"].startswith("not judged: is black")


@pytest.mark.parametrize("method", [SoftPatch, PatchCore, PaDiM])
def test_every_method_keeps_what_is_usual(
    method: type[Detector], small_pictures: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"resize": 64, "dimension": 64}
    fitted = method(**options).fit(small_pictures)
    fitted.save(tmp_path / "a.softpatch")
    again = load(tmp_path / "a.softpatch")
    assert again.appearance_ == fitted.appearance_ is not None
    with pytest.raises(UnusableImageError):
        again.predict(Image.fromarray(BLACK))


def test_models_of_before_judge_everything(small_model: Path, tmp_path: Path) -> None:
    header, tensors = model_file.read(small_model)
    del header["appearance"]
    model_file.write(tmp_path / "old.softpatch", header, tensors)
    old = load(tmp_path / "old.softpatch", SoftPatch)
    assert old.appearance_ is None
    assert old.predict(Image.fromarray(BLACK)).remark is None
    old.update([np.asarray(Image.fromarray(BLACK))])
    assert old.appearance_ is None  # of some of its pictures alone


@pytest.mark.parametrize("damaged", [None, [], [[1.0]], "none", {"low": 1}])
def test_a_damaged_record_is_a_damaged_file(
    damaged: Any, small_model: Path, tmp_path: Path
) -> None:
    header, tensors = model_file.read(small_model)
    model_file.write(tmp_path / "a.softpatch", {**header, "appearance": damaged}, tensors)
    with pytest.raises(ModelFileError, match="damaged model file"):
        load(tmp_path / "a.softpatch")


def test_an_update_learns_nothing_from_pictures_that_show_nothing(
    new: Path, small_model: Path
) -> None:
    detector = load(small_model, SoftPatch)
    skipped: list[ImageError] = []
    detector.update([new / "black.png", new / "good.png"], on_unreadable=skipped.append)
    assert refused(skipped) == {"black.png": "is black"}
    assert detector.image_names_[-1] == str(new / "good.png")
    with pytest.raises(UnusableImageError):
        detector.predict(new / "black.png")


def test_a_few_pictures_do_not_say_what_is_usual(small_pictures: Path) -> None:
    few = SoftPatch(**SMALL).fit(sorted(small_pictures.iterdir())[:4])
    assert few.appearance_ is None
    assert few.predict(Image.fromarray(BLACK)).remark is None


def test_only_what_a_region_of_interest_shows_counts(
    small_pictures: Path, small_detector: SoftPatch, tmp_path: Path
) -> None:
    """Through softpatch and the exported model."""
    pytest.importorskip("onnxruntime", reason="needs softpatch[export]")
    region = np.zeros((48, 64), np.uint8)
    region[:24] = 255
    detector = SoftPatch(**SMALL, roi=region).fit(small_pictures)
    detector.save(tmp_path / "a.softpatch")
    export_model(tmp_path / "a.softpatch", tmp_path / "a.onnx", pictures=[])
    half = np.array(Image.open(small_pictures / "0.png"))
    half[24:] = 0
    for one in (detector, Runtime(tmp_path / "a.onnx")):
        assert one.predict(half).remark is None
        with pytest.raises(ImageError, match="is black"):
            one.predict(half[::-1].copy())
    with pytest.raises(UnusableImageError, match="is cut"):
        small_detector.predict(half)


def test_an_update_says_so_and_learns_what_is_usual_now(new: Path, small_model: Path) -> None:
    detector = load(small_model, SoftPatch)
    with pytest.warns(OddImageWarning, match=r"half\.png: .* another shape"):
        detector.update([new / "half.png", new / "good.png"])
    assert detector.predict(new / "half.png").remark is None
    with pytest.raises(UnusableImageError):
        detector.predict(new / "black.png")


def test_merged_models_know_both(small_pictures: Path, new: Path) -> None:
    dark = [np.asarray(Image.open(path)) // 8 for path in sorted(small_pictures.iterdir())]
    one = SoftPatch(**SMALL).fit(small_pictures)
    other = SoftPatch(**SMALL).fit(dark)
    with pytest.raises(UnusableImageError, match="is black"):
        one.predict(dark[0])
    merged = merge(one, other)
    assert merged.predict(dark[0]).remark is None
    assert merged.predict(new / "good.png").remark is None


def test_an_evaluation_counts_every_test_picture(tmp_path: Path, small_pictures: Path) -> None:
    for kind in ("train/good", "test/good", "test/spoiled"):
        (tmp_path / kind).mkdir(parents=True)
    for number, path in enumerate(sorted(small_pictures.iterdir())):
        with Image.open(path) as picture:
            picture.save(tmp_path / ("train/good" if number < 6 else "test/good") / path.name)
            picture.filter(ImageFilter.GaussianBlur(5)).save(tmp_path / "test/spoiled" / path.name)
    category = read_category(tmp_path)
    clean = contaminate(category, 0, overlap=False, seed=0)
    found, _ = evaluate("softpatch", SoftPatch(**SMALL), clean, allow_empty_masks=True)
    assert found.n_test == 10
