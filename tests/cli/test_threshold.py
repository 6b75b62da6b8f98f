"""``softpatch threshold``: the line is moved without a new fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from softpatch import SoftPatch, load
from softpatch.calling.threshold import threshold_with_labels
from softpatch.calling.words import rounded
from softpatch.runtime.files import csv_rows
from softpatch.storage.model_bytes import with_header
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
    assert "good pictures will be called bad" in result.out
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
    assert after.look_ is not None
    assert after.look_ == after.choose_look(0.4)
    assert f"look limit {rounded(after.look_)}" in result.out
    for options in (("--value", "1e6"), ("--max-false-alarms", "0.3")):
        assert run("threshold", new, *options).code == 0
        assert load(new).look_ == after.look_
    assert run("threshold", new, "--look-share", "0").code == 0
    assert load(new).look_ is None


def test_a_look_limit_above_the_threshold_is_told_with_the_reason(
    run: Run, model: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.softpatch"
    assert run("threshold", model, "--value", "0.001", "-o", new).code == 0
    assert "without effect, as it is not below the threshold" in " ".join(
        run("info", new).out.replace("│", " ").split()
    )
    by_share = load(model, SoftPatch).choose_threshold(0.4).value
    result = run("threshold", new, "--look-share", "0.4")
    assert f"no look limit: that share exceeds {rounded(by_share)}, which is above" in result.out


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


def test_it_names_what_is_on_the_wrong_side(
    run: Run, model: Path, small_pictures: Path, tmp_path: Path
) -> None:
    folder, new = known(tmp_path / "known", small_pictures), tmp_path / "new.softpatch"
    shutil.copy(folder / "bad" / "0.png", folder / "good" / "wrong.png")
    judged = tmp_path / "judged.csv"
    result = run("threshold", model, "--validation", folder, "-o", new, "--csv", judged)
    assert result.code == 0, result.err
    assert "3 of 4 good and 3 of 3 bad pictures are told right" in result.out
    assert "false alarms: 1 of 4 (25.0%; 95 % interval 4.6% to 69.9%)" in result.out
    assert "found: 3 of 3 (100.0%; 95 % interval 43.9% to 100.0%)" in result.out
    (wrong,) = (line for line in result.out.splitlines() if "wrong.png" in line)
    rows = csv_rows(judged.read_bytes())
    assert [row["path"] for row in rows if row["told_right"] == "False"] == [
        str(folder / "good" / "wrong.png")
    ]
    assert f"{float(rows[3]['score']):.4g}"[:3] in wrong
    assert {row["known_as"] for row in rows} == {"good", "bad"}
    assert len(rows) == 7
    assert "3 of the 7 pictures are among those that the model has learned from" in result.err
    # The next run replaces its own file, and no other.
    assert run("threshold", model, "--validation", folder, "-o", new, "--csv", judged).code == 0
    notes = tmp_path / "notes.csv"
    notes.write_text("mine")
    refused = run("threshold", model, "--validation", folder, "-o", new, "--csv", notes)
    assert (refused.code, notes.read_text()) == (2, "mine")


def test_labels_decide_by_what_a_miss_costs(
    run: Run, model: Path, small_pictures: Path, tmp_path: Path
) -> None:
    folder, new = known(tmp_path / "known", small_pictures), tmp_path / "new.softpatch"
    shutil.copy(small_pictures / "7.png", folder / "bad" / "hardly.png")  # scores as a good one
    limits: list[float | None] = []
    for options in (
        ("--max-misses", "0.3"),
        ("--max-misses", "0"),
        ("--miss-cost", "1", "--bad-share", "0.01"),
        ("--miss-cost", "1000000"),
    ):
        result = run("threshold", model, "--validation", folder, "-o", new, *options)
        assert result.code == 0, result.err
        assert f"{4 - (len(limits) % 2 == 0)} of 4 bad" in result.out
        limits.append(load(new).threshold_)
    assert limits[0] == limits[2]
    assert limits[1] == limits[3]
    two = ("--max-misses", "0.3", "--look-misses", "0")
    result = run("threshold", model, "--validation", folder, "-o", new, *two)
    assert "0 of 4 bad ones are called good" in result.out
    looking = load(new)
    assert (looking.threshold_, looking.look_) == (limits[0], limits[1])
    two = ("--max-misses", "0", "--look-misses", "0.3")
    assert "no look limit" in run("threshold", model, "--validation", folder, "-o", new, *two).out
    assert load(new).look_ is None


def test_without_an_option_it_shows_what_limits_cost(run: Run, model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    folder = set(model.parent.iterdir())
    result = run("threshold", model)
    assert result.code == 0, result.err
    detector = load(model)
    assert isinstance(detector, SoftPatch)
    promise = detector.promise()
    assert promise is not None
    for line in promise.told(detector.image_names_):
        assert line in result.out
    (own,) = (line for line in result.out.splitlines() if "the model's" in line)
    assert f"{promise.value:.0f}" in own or f"{promise.value:.4g}" in own
    assert f"about {round(1000 * promise.expected)}" in own
    assert (model.read_bytes(), set(model.parent.iterdir())) == (before, folder)
    high = tmp_path / "high.softpatch"
    assert run("threshold", model, "--value", "1e9", "-o", high).code == 0
    said = run("threshold", high).out
    assert f"{round(1000 / (promise.pictures + 1))} or fewer" in said
    assert "will be called bad" not in said  # of a limit that was set by hand


def test_with_labels_it_shows_what_limits_cost_too(
    run: Run, model: Path, small_model: Path, small_pictures: Path, tmp_path: Path
) -> None:
    folder, new = known(tmp_path / "known", small_pictures), tmp_path / "new.softpatch"
    out = run("threshold", model, "--validation", folder, "-o", new).out
    assert "bad found, of 3 known" in out
    assert "good pictures stopped, of 1,000" in out
    assert "before" in out
    assert "chosen now" in out
    out = run("threshold", small_model, "--validation", folder, "-o", new).out
    assert "bad found, of 3 known" in out
    assert "of 1,000" not in out  # no training pictures were scored


def test_good_pictures_of_another_day_check_it(
    run: Run, model: Path, small_pictures: Path, tmp_path: Path
) -> None:
    before = model.read_bytes()
    other, alike = known(tmp_path / "known", small_pictures) / "bad", tmp_path / "alike"
    for index in range(3, 30):
        shutil.copy(other / f"{index % 3}.png", other / f"{index}.png")
    (other / "broken.png").write_text("no picture")
    judged = tmp_path / "judged.csv"
    result = run("threshold", model, "--holdout", other, "--csv", judged)
    assert result.code == 0, result.err
    assert "30 of 30" in result.out
    assert "so many would be stopped in" in result.out
    assert "the limit does not hold for them" in result.out
    assert "skipped 1 picture(s)" in result.err
    assert len(csv_rows(judged.read_bytes())) == 30
    assert run("threshold", model, "--holdout", other, "--strict").code == 1
    alike.mkdir()
    for index in range(4):
        noise = np.random.default_rng(50 + index).integers(0, 20, size=(48, 64, 3))
        picture = (np.linspace(40, 200, 64)[None, :, None] + noise).astype(np.uint8)
        Image.fromarray(picture).save(alike / f"{index}.png")
    shutil.copy(small_pictures / "0.png", alike / "learned.png")
    result = run("threshold", model, "--holdout", alike)
    assert result.code == 0, result.err
    assert "left out 1 picture(s)" in result.err
    assert "no more or fewer false alarms than chance would have" in result.out
    assert " of 4" in result.out
    assert model.read_bytes() == before
    (alike / "1.png").unlink()
    (alike / "2.png").unlink()
    (alike / "3.png").unlink()
    result = run("threshold", model, "--holdout", alike)
    assert "so few pictures cannot tell whether the limit holds" in result.out
    nothing_new = run("threshold", model, "--holdout", small_pictures)
    assert nothing_new.code == 1
    assert "new to" in nothing_new.error


def test_a_model_without_a_threshold_has_none_to_check(
    run: Run, small_model: Path, small_pictures: Path
) -> None:
    assert run("threshold", small_model, "--holdout", small_pictures).code == 2
    result = run("threshold", small_model)
    assert result.code == 1
    assert "its training pictures were not scored" in result.error


@pytest.mark.parametrize("entry", [{"threshold": []}, {"images": []}, {"parameters": {}}])
def test_a_file_that_holds_something_else_is_told_in_one_line(
    run: Run, model: Path, tmp_path: Path, entry: dict[str, Any]
) -> None:
    odd = tmp_path / "odd.softpatch"
    odd.write_bytes(with_header(model, **entry))
    result = run("threshold", odd)
    if entry == {"parameters": {}}:  # as a model whose threshold was set by hand
        assert result.code == 0, result.err
    else:
        assert (result.code, "restore the file, or fit again" in result.error) == (1, True)


@pytest.mark.parametrize("days", [1, 2])
def test_fit_tells_of_pictures_of_one_day(
    run: Run, small_pictures: Path, tmp_path: Path, days: int
) -> None:
    for at, path in enumerate(sorted(small_pictures.iterdir())):
        taken = f"2026:03:0{1 + at % days} 10:00:0{at}"
        exif = Image.Exif()
        exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: taken}
        Image.open(path).save(tmp_path / f"{at}.jpg", exif=exif.tobytes())
    result = run("fit", tmp_path, "-o", tmp_path / "part.softpatch", *SMALL)
    assert result.code == 0, result.err
    assert ("all pictures were taken on 2026-03-01" in result.err) == (days == 1)
    assert ("--holdout" in result.err) == (days == 1)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--look-share", "1"), 2, "--look-share must lie in [0, 1), got 1"),
        (("--look-share", "0.1", "--value", "1"), 2, "give one of"),
        (
            ("--holdout", "new", "--value", "1"),
            2,
            "give one of --max-false-alarms, --val",
        ),
        (("--value", "1", "--max-false-alarms", "0.1"), 2, "give one of"),
        (("--value", "-1"), 2, "--value must lie in [0, 1e+30], got -1"),
        (("--value", "nan"), 2, "--value must lie in [0, 1e+30], got nan"),
        (("--max-false-alarms", "1"), 2, "--max-false-alarms must lie in (0, 1), got 1"),
        (("--max-misses", "0.1"), 2, "go with --validation"),
        (("--look-misses", "0.1"), 2, "go with --validation"),
        (("--value", "1", "--miss-cost", "5"), 2, "go with --validation"),
        (("--validation", "a", "--max-misses", "1"), 2, "--max-misses must lie in [0, 1), got 1"),
        (("--validation", "a", "--miss-cost", "0"), 2, "--miss-cost must lie in (0, 1e+09]"),
        (("--validation", "a", "--miss-cost", "2", "--max-misses", "0"), 2, "give one of"),
        (("--validation", "a", "--bad-share", "0.1"), 2, "--bad-share goes with --miss-cost"),
        (("--value", "1", "--csv", "a.csv"), 2, "--csv goes with --validation or --holdout"),
        (("-o", "new.softpatch"), 2, "--output goes with"),
        (("--holdout", "nowhere", "-o", "new.softpatch"), 2, "--output goes with"),
        (("--holdout", "nowhere"), 1, "nowhere"),
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
