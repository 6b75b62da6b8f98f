"""Old spellings work for one version, with a note that names the new one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import COMMANDS, SMALL, Run, run
from tests.fleet.conftest import photograph

__all__ = ["run"]  # the fixture


def test_help_shows_new_spellings_only(run: Run) -> None:
    for command in COMMANDS:
        shown = run(command, "--help").out.split()
        assert not {"--out", "--rule", "--projection"} & set(shown), command
        assert "fused" not in " ".join(shown), command


def test_out_and_rule(run: Run, small_model: Path, small_pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for option in (("--out", out), (f"--out={out}",)):
        result = run("watch", small_model, small_pictures, *option, "--once", "--interval", "0.01")
        assert result.code == 0, result.err
        assert "--out is called --output now" in result.err
    assert (out / "results.jsonl").is_file()
    result = run("audit", small_pictures, "--rule", "lof", "--json", *SMALL)
    assert "--rule is called --discriminator now" in result.err
    assert json.loads(result.out)["discriminator"] == "lof"


def test_names_of_methods(run: Run, small_pictures: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.softpatch"
    headers = []
    for options in (
        ("--method", "softpatch-anywhere"), ("--method=softpatch", "--discriminator=anywhere"),
        ("--method", "softpatch-position-free"), ("--discriminator", "position-free"),
    ):  # fmt: skip
        result = run("fit", small_pictures, "-o", model, *options, *SMALL)
        assert result.code == 0, result.err
        assert result.out.startswith("fitted softpatch-position-free")
        noted = "anywhere is called" in result.err
        assert noted == any("anywhere" in option for option in options)
        headers.append(run("info", model, "--json").out)
    assert len(set(headers)) == 1


@pytest.mark.parametrize("form", ["between", "last", "equals"])
def test_a_report_with_its_folder(run: Run, tmp_path: Path, form: str) -> None:
    plant, models, report = tmp_path / "plant", tmp_path / "models", tmp_path / "report"
    photograph(plant / "a", range(3))
    old = {
        "between": ("--report", report, plant, "-o", models),
        "last": (plant, "-o", models, "--report", report),
        "equals": (f"--report={report}", plant, "-o", models),
    }[form]
    result = run("fit-many", *old, *SMALL)
    assert result.code == 0, result.err
    assert "--report FOLDER is called --report-dir FOLDER now" in result.err
    assert (report / "fleet.html").is_file()


def test_report_is_a_flag(run: Run, tmp_path: Path) -> None:
    plant, models = tmp_path / "plant", tmp_path / "models"
    photograph(plant / "a", range(3))
    result = run("fit-many", "--report", plant, "-o", models, *SMALL)
    assert (result.code, "now" in result.err) == (0, False), result.err
    assert {path.name for path in models.iterdir()} >= {"fleet.csv", "fleet.json", "fleet.html"}
    again = run("fit-many", plant, "-o", models, "--json")
    assert [one["camera"] for one in json.loads(again.out)["cameras"]] == ["a"]
