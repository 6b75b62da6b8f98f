"""Verdicts and p-values of a model are those of its exported file, through every door."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from softpatch import SoftPatch, load
from softpatch.export import export_model
from softpatch.runtime import Detector
from softpatch.runtime.cli import main
from tests.cli.test_cli import Run, run

__all__ = ["run"]  # the fixture


@pytest.fixture(scope="module")
def model(small_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a look limit below its threshold, and pictures of all three verdicts; not written to."""
    path = tmp_path_factory.mktemp("verdicts") / "part.softpatch"
    detector = SoftPatch(resize=64, crop=64, dimension=64, max_false_alarms=0.12, look_share=0.4)
    detector.fit(small_pictures)
    scores = sorted(one.score for one in detector.predict(small_pictures))
    detector.look_ = (scores[2] + scores[3]) / 2
    detector.threshold_ = (scores[-3] + scores[-2]) / 2
    detector.save(path)
    return path


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    pytest.importorskip("onnx")
    file = model.with_suffix(".onnx")
    export_model(model, file, pictures=())
    return file


def test_a_file_keeps_limits_and_reference(model: Path, exported: Path) -> None:
    ours, theirs = load(model), Detector(exported, threads=1)
    reference = ours.learned_.calibration.reference
    assert reference is not None
    assert theirs.reference is not None
    assert (theirs.threshold, theirs.look) == (ours.threshold_, ours.look_)
    assert np.array_equal(theirs.reference, reference)
    assert len(theirs.metadata["reference"]) <= 500
    assert theirs.metadata["reference"] == sorted(theirs.metadata["reference"])


def test_records_agree(model: Path, exported: Path, small_pictures: Path) -> None:
    ours = load(model).predict(small_pictures)
    theirs = list(Detector(exported, threads=1).predict(small_pictures))
    for one, other in zip(ours, theirs, strict=True):
        assert other.verdict == one.verdict
        same = replace(other, score=one.score)  # equal but for rounding
        assert (same.p_value, same.rarity) == (one.p_value, one.rarity)
    assert {one.verdict for one in theirs} == {"good", "look", "bad"}


def test_both_commands_write_the_same_columns(
    run: Run, model: Path, exported: Path, small_pictures: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    written = run("predict", model, small_pictures, "-o", tmp_path / "model", "--report")
    assert written.code == 0, written.err
    words = "2 of 8 pictures are bad, 3 to look at, 3 good"
    assert words in written.out
    assert "look at it" in written.out
    main([str(exported), str(small_pictures), "-o", str(tmp_path / "file"), "--threads", "1"])
    assert words in capsys.readouterr().out
    tables = []
    for name in ("model", "file"):
        with (tmp_path / name / "predictions.csv").open(newline="", encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["path"])
        assert list(rows[0])[-2:] == ["verdict", "p_value"]
        tables.append([(row["path"], row["verdict"]) for row in rows])
        about = json.loads((tmp_path / name / "predictions.json").read_text("utf-8"))
        assert about["look"] == load(model).look_
        assert {row["verdict"] for row in about["predictions"]} == {"good", "look", "bad"}
    assert tables[0] == tables[1]
    page = (tmp_path / "model" / "predictions.html").read_text("utf-8")
    assert words in page
    for word in ('"verdict": "look"', "? Look at it", "of 1,000 good pictures"):
        assert word in page


@pytest.mark.parametrize("door", ["model", "exported"])
def test_watch_says_the_verdict(
    run: Run, door: str, model: Path, small_pictures: Path, tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    file, out = request.getfixturevalue(door), tmp_path / "out"
    options = ("--once", "--interval", "0.01", "--no-heatmaps")
    told = run("watch", file, small_pictures, "-o", out, *options)
    assert told.code == 0, told.err
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text("utf-8").splitlines()]
    expected = {one.name: one for one in load(model).predict(small_pictures)}
    words = {"good": "good", "look": "look at it", "bad": "bad"}
    for row in rows:
        one = expected[str(small_pictures / row["path"])]
        assert row["verdict"] == one.verdict
        assert 0 < row["p_value"] <= 1
        assert f"{row['score']:.6g}, {words[row['verdict']]}  {row['path']}" in told.out


def test_a_file_of_before_has_two_verdicts(
    exported: Path, small_pictures: Path, tmp_path: Path
) -> None:
    import onnx

    from softpatch.runtime.exported import ENTRY, UNSEALED, seal

    old, graph = tmp_path / "old.onnx", onnx.load(exported)
    for entry in graph.metadata_props:
        if entry.key == "softpatch":
            about = json.loads(entry.value)
            del about["look"], about["reference"]
            entry.value = json.dumps(about)
        if entry.key == ENTRY:
            entry.value = UNSEALED
    onnx.save_model(graph, old)
    seal(old)
    one = Detector(old, threads=1).predict(small_pictures / "0.png")
    assert one.verdict in ("good", "bad")
    assert (one.look, one.p_value) == (None, None)
