"""What commands say comes next is a command that runs as it is pasted."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from tests.cli.test_cli import SMALL, Run, run

__all__ = ["run"]  # the fixture


@pytest.fixture
def photos(small_pictures: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_pictures, tmp_path / "my photos"))


def following(out: str) -> str:
    [line] = [line for line in out.splitlines() if line.startswith("next: ")]
    return line.removeprefix("next: ")


def pasted(run: Run, command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "softpatch"
    result = run(*arguments)
    assert result.code == 0, result.err
    return result.out


def test_after_a_fit_pictures_are_scored(run: Run, photos: Path, tmp_path: Path) -> None:
    said = following(run("fit", photos, "-o", tmp_path / "a part.softpatch", *SMALL).out)
    here = said.replace("new/", shlex.quote(str(photos)))
    pasted(run, here.replace("results/", shlex.quote(str(tmp_path / "results"))))
    assert (tmp_path / "results" / "predictions.csv").exists()


def test_after_an_audit_decisions_are_carried_out_and_taken_back(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("jinja2")
    assert following(run("audit", photos, *SMALL).out).startswith(
        shlex.join(["softpatch", "audit", str(photos), "-o"])
    )
    audited = run("audit", photos, "-o", tmp_path / "audit", *SMALL)
    command, place = following(audited.out).split("  (decide in ")
    assert Path(place.partition(", which")[0]).is_file()
    first, *others = sorted(photos.iterdir())
    decisions = tmp_path / "decisions.json"
    content = {"format": "softpatch-decisions", "version": 1, "decisions": {first.name: "remove"}}
    decisions.write_text(json.dumps(content))
    command = command.replace("decisions.json", shlex.quote(str(decisions)))
    assert following(pasted(run, f"{command} --dry-run")) == "the same without --dry-run"
    for where in ("", f" --quarantine {shlex.quote(str(tmp_path / 'put away'))}"):
        said = following(pasted(run, command + where))
        assert sorted(photos.iterdir()) == others
        pasted(run, said.split("; to put them back: ")[1])
        assert sorted(photos.iterdir()) == [first, *others]


def test_where_nothing_was_done_nothing_follows(run: Run, photos: Path, tmp_path: Path) -> None:
    decisions = tmp_path / "decisions.json"
    decisions.write_text(
        '{"format": "softpatch-decisions", "version": 1, "decisions": {"a": "keep"}}'
    )
    assert "next: " not in run("clean", photos, decisions).out
    assert "next: " not in run("audit", photos, "--json", *SMALL).out
