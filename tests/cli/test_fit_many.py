"""``softpatch fit-many`` as a command."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.test_cli import SMALL, Run, process, run
from tests.fleet.conftest import files, other_part, photograph

__all__ = ["run"]  # the fixture


def test_from_a_plant_to_models_and_a_report(run: Run, tmp_path: Path) -> None:
    plant, models, report = tmp_path / "[b]plant", tmp_path / "models", tmp_path / "report"
    photograph(plant / "line1/left", range(16))
    photograph(plant / "line1/right", range(100, 116))
    photograph(plant / "bad", [1])
    first = process("fit-many", plant, "-o", models, "--report-dir", report, "--jobs", 2, *SMALL)
    assert first.code == 1, first.err
    assert "3 of 3 cameras" in first.err
    assert "bad: 1 readable training pictures" in first.out
    assert "3 camera(s): 1 failed, 2 few pictures" in first.out
    assert {path.name for path in report.iterdir()} == {"fleet.csv", "fleet.json", "fleet.html"}
    for name in ("line1/left", "line1/right"):
        assert (models / f"{name}.softpatch").is_file()

    (plant / "bad/001.png").unlink()
    (plant / "bad").rmdir()
    photograph(plant / "line1/left", range(20, 30), other_part)
    before = files(models)
    second = run("fit-many", plant, "-o", models, "--json", *SMALL)
    assert second.code == 0, second.err
    assert second.out.count("\n") == 1
    cameras = json.loads(second.out)["cameras"]
    assert [(one["camera"], one["outcome"], one["attention"]) for one in cameras] == [
        ("line1/left", "kept", "drifted"), ("line1/right", "unchanged", "few pictures"),
    ]  # fmt: skip
    assert files(models) == before
    again = cameras[0]["advice"][0]["commands"][1]
    assert again == f"softpatch fit-many '{plant}' -o {models} {' '.join(SMALL)} " + (
        "--only line1/left --force"
    )
    checked = run("fit-many", plant, "-o", models, "--check")
    assert checked.code == 0
    assert "drifted" in checked.out
    assert f"  {again.replace(' ' + ' '.join(SMALL), '')}" in checked.out


def test_wrong_use(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert run("fit-many", tmp_path, "-o", tmp_path / "file").code == 2
    missing = run("fit-many", tmp_path / "none", "-o", tmp_path / "models")
    assert (missing.code, missing.error) == (1, f"{tmp_path / 'none'}: no such folder")
    empty = run("fit-many", tmp_path, "-o", tmp_path / "models")
    assert empty.code == 1
    assert "no camera found" in empty.error
    photograph(tmp_path / "plant/a", [1, 2])
    unknown = run("fit-many", tmp_path / "plant", "-o", tmp_path / "models", "--only", "b", *SMALL)
    assert unknown.code == 2
    assert "no camera is called 'b'" in unknown.error
    assert not (tmp_path / "models").exists()
