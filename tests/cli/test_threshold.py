"""``softpatch threshold``: the line is moved without a new fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softpatch import SoftPatch, load
from softpatch.calling.threshold import threshold_with_labels
from tests.cli.test_cli import SMALL, Run, run

__all__ = ["run"]  # the fixture


@pytest.fixture(scope="module")
def model(small_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fitted for a threshold; do not write to it."""
    path = tmp_path_factory.mktemp("threshold") / "part.softpatch"
    detector = SoftPatch(max_false_alarms=0.2, resize=64, crop=64, dimension=64)
    detector.fit(small_pictures).save(path)
    return path


def known(folder: Path, good: Path) -> Path:
    """``good/`` and ``bad/``."""
    for label in ("good", "bad"):
        (folder / label).mkdir(parents=True)
    for index in range(3):
        picture = np.array(Image.open(good / f"{index}.png"))
        Image.fromarray(picture).save(folder / "good" / f"{index}.png")
        picture[10:30, 20:40] = 255 - picture[10:30, 20:40]
        Image.fromarray(picture).save(folder / "bad" / f"{index}.png")
    return folder


def test_more_false_alarms_lower_it(run: Run, model: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.softpatch"
    result = run("threshold", model, "--max-false-alarms", "0.5", "-o", new)
    assert result.code == 0, result.err
    assert "of good pictures exceed it" in result.out
    before, after = load(model), load(new)
    assert isinstance(after, SoftPatch)
    assert after.threshold_ is not None
    assert before.threshold_ is not None
    assert after.threshold_ < before.threshold_
    assert after.threshold_ == after.choose_threshold(0.5).value


def test_the_look_limit_is_set_by_itself(run: Run, model: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.softpatch"
    result = run("threshold", model, "--look-share", "0.4", "-o", new)
    assert result.code == 0, result.err
    before, after = load(model, SoftPatch), load(new, SoftPatch)
    assert after.threshold_ == before.threshold_
    assert after.look_ == after.choose_look(0.4) is not None
    assert f"look limit {after.look_:.6g}" in result.out
    for options in (("--value", "1e6"), ("--max-false-alarms", "0.3")):
        assert run("threshold", new, *options).code == 0
        assert load(new).look_ == after.look_
    assert run("threshold", new, "--look-share", "0").code == 0
    assert load(new).look_ is None


def test_without_output_the_model_itself_changes(run: Run, model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "part.softpatch"
    copy.write_bytes(model.read_bytes())
    assert run("threshold", copy, "--value", "12.5").code == 0
    assert load(copy).threshold_ == 12.5
    assert {path.name for path in tmp_path.iterdir()} == {copy.name}


def test_labels_decide(run: Run, model: Path, small_pictures: Path, tmp_path: Path) -> None:
    folder, new = known(tmp_path / "known", small_pictures), tmp_path / "new.softpatch"
    result = run("threshold", model, "--validation", folder, "-o", new)
    assert result.code == 0, result.err
    assert "3 of 3 good and 3 of 3 bad pictures are told right" in result.out
    detector = load(model)
    scores = {
        label: np.array([record.score for record in detector.predict(folder / label)])
        for label in ("good", "bad")
    }
    assert load(new).threshold_ == threshold_with_labels(scores["good"], scores["bad"])


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 2, "give one of --max-false-alarms, --validation, --value and --look-share"),
        (("--look-share", "1"), 2, "--look-share must lie in [0, 1), got 1"),
        (("--look-share", "0.1", "--value", "1"), 2, "give one of"),
        (("--value", "1", "--max-false-alarms", "0.1"), 2, "give one of"),
        (("--value", "-1"), 2, "--value must lie in [0, 1e+30], got -1"),
        (("--value", "nan"), 2, "--value must lie in [0, 1e+30], got nan"),
        (("--max-false-alarms", "1"), 2, "--max-false-alarms must lie in (0, 1), got 1"),
        (("--validation", "nowhere"), 1, "nowhere: expected the folders good and bad in it"),
    ],
)
def test_bad_use_changes_nothing(
    run: Run, model: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    before = model.read_bytes()
    result = run("threshold", model, *options)
    assert (result.code, message in result.err) == (code, True), result.err
    assert model.read_bytes() == before


def test_a_model_without_scores_says_what_to_do(run: Run, small_model: Path) -> None:
    result = run("threshold", small_model, "--max-false-alarms", "0.1")
    assert result.code == 1
    assert "fit with max_false_alarms" in result.err


def test_fit_can_leave_it_out(run: Run, small_pictures: Path, tmp_path: Path) -> None:
    for options in (("--max-false-alarms", "0"), ("--method", "padim")):
        model = tmp_path / "part.softpatch"
        result = run("fit", small_pictures, "-o", model, *SMALL, *options)
        assert result.code == 0, result.err
        assert "threshold" not in result.out
        assert load(model).threshold_ is None
        output = tmp_path / "out"
        assert run("predict", model, small_pictures, "-o", output).code == 0
        assert "anomalous" not in (output / "predictions.csv").read_text(encoding="utf-8")
    refused = run(
        "fit", small_pictures, "-o", model, "--method", "padim", "--max-false-alarms", "0.1"
    )
    assert refused.code == 2
    assert "padim has no option 'max-false-alarms'" in refused.err
