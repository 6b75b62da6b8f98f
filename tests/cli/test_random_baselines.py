"""The random baselines as processes: measured, fitted, asked for a threshold, and predicting."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from softpatch import load
from tests.cli.test_cli import EVALUATION_KEYS, SMALL, Run, line, process, run

__all__ = ["line", "run"]  # the fixtures


@pytest.mark.parametrize(
    "method", [pytest.param("random-bank", marks=pytest.mark.long), "random-ensemble"]
)
def test_from_measuring_to_predicting(
    method: str, run: Run, line: Path, small_pictures: Path, tmp_path: Path
) -> None:
    options = ("--method", method, "--bank-size", "50", *SMALL)
    contaminated = ("--data", line, "--category", "part", "--noise", "0.25")
    measured = process("evaluate", *contaminated, "--json", *options)
    assert measured.code == 0, measured.err
    row = json.loads(measured.out)
    assert (list(row), row["method"]) == (EVALUATION_KEYS, method)

    model, out = tmp_path / "m.softpatch", tmp_path / "out"
    fitted = process("fit", small_pictures, "-o", model, *options)
    assert fitted.code == 0, fitted.err
    assert "good pictures will be called bad" in fitted.out
    lowered = run("threshold", model, "--max-false-alarms", "0.5")
    assert lowered.code == 0, lowered.err
    done = process("predict", model, small_pictures, "-o", out)
    assert done.code == 0, done.err
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert len(list(out.rglob("*.png"))) == 8  # heat maps
    expected = sorted(
        (record.score for record in load(model).predict(small_pictures)), reverse=True
    )
    assert [float(one["score"]) for one in rows] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("command", ["fit", "evaluate", "estimate"])
def test_help_names_them(command: str) -> None:
    words = process(command, "--help").out
    for name in ("random-bank", "random-ensemble", "--banks"):
        assert name in words
