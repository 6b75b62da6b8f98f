"""``softpatch audit`` and ``clean``, and ``fit --exclude``: from a folder to a cleaned one."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from softpatch import load
from softpatch.auditing.report import BEGINNINGS
from softpatch.runtime.files import file_digest
from softpatch.runtime.targets import check_results
from tests.auditing.browser import Browser
from tests.auditing.pictures import part, parts
from tests.cli.test_cli import SMALL, Result, Run, process, run
from tests.pages.test_review import PRESS

__all__ = ["run"]  # the fixture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve good pictures, a defective one, its copy, and a broken file; do not write to it."""
    folder = tmp_path_factory.mktemp("audit") / "[b]parts"
    parts(folder, 12)
    bad = part(50)
    bad[30:60, 90:120] = np.random.default_rng(0).integers(0, 255, (30, 30, 3))
    (folder / "sub").mkdir()
    Image.fromarray(bad).save(folder / "sub" / "bad.png")
    Image.fromarray(part(3)).save(folder / "sub" / "same.bmp")
    (folder / "broken.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def audited(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The report and output of one ``softpatch audit``."""
    output = tmp_path_factory.mktemp("report") / "deep" / "out"
    return output, process("audit", folder, "-o", output, "--json", *SMALL)


def write_decisions(path: Path, folder: Path, names: dict[str, str]) -> Path:
    content = {
        "format": "softpatch-decisions", "version": 1, "folder": str(folder), "decisions": names,
        "sha256": {name: file_digest(folder / name) for name in names if (folder / name).exists()},
    }  # fmt: skip
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_json_is_one_line_with_everything(audited: tuple[Path, Result], folder: Path) -> None:
    output, result = audited
    assert result.code == 0, result.err
    assert result.out.count("\n") == 1
    content = json.loads(result.out)
    assert content == json.loads((output / "audit.json").read_text("utf-8"))
    worst = content["images"][0]
    assert (worst["path"], worst["rank"]) == (str(folder / "sub" / "bad.png"), 1)
    assert "outlier" in [reason["code"] for reason in worst["reasons"]]
    left, top, right, bottom = worst["region"]
    assert left < 105 < right
    assert top < 45 < bottom
    assert (content["interval"], content["contamination"]) == (None, None)  # of so few pictures
    assert content["called"].endswith("look at the first 12")
    assert content["look_first"] == 12
    assert content["discriminator"] == "held-out"
    assert content["duplicates"] == [[str(folder / "003.png"), str(folder / "sub" / "same.bmp")]]
    [unreadable] = content["unreadable"]
    assert unreadable["path"] == str(folder / "broken.png")
    assert unreadable["reason"] in result.err


def test_report_is_written(audited: tuple[Path, Result]) -> None:
    output, _ = audited
    assert {path.name for path in output.iterdir()} == {"audit.csv", "audit.json", "audit.html"}
    with (output / "audit.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 15)]
    assert "Audit of [b]parts" in (output / "audit.html").read_text("utf-8")
    check_results(output, BEGINNINGS)  # or the next audit would not replace this one


def test_a_report_of_somebody_else_is_not_replaced(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "audit.csv").write_text("date,auditor\n")
    result = run("audit", folder, "-o", tmp_path, *SMALL)
    assert result.code == 2
    assert "audit.csv: is another kind of file" in result.error
    assert (tmp_path / "audit.csv").read_text() == "date,auditor\n"


def test_a_table_and_a_sentence_for_people(run: Run, folder: Path) -> None:
    result = run("audit", folder, *SMALL)
    assert result.code == 0
    for words in ("confidence", "bad.png", "outlier", "of 14 pictures", "[b]parts"):
        assert words in result.out


def test_clean_and_undo_restore_the_folder(run: Run, folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    parts(photos, 3)
    before = files(photos)
    decisions = write_decisions(
        tmp_path / "d.json", photos, {"000.png": "remove", "001.png": "keep", "002.png": "unsure"}
    )
    dry = run("clean", photos, decisions, "--dry-run")
    assert (dry.code, files(photos)) == (0, before)
    assert dry.out.splitlines()[0] == "000.png"
    assert "would move 1 picture(s)" in dry.out
    moved = run("clean", photos, decisions)
    assert moved.code == 0, moved.err
    store = tmp_path / "photos-quarantine"
    assert f"moved 1 picture(s) from {photos} to {store}" in moved.out
    assert (store / "000.png").read_bytes() == before[str(photos / "000.png")]
    assert {Path(name).name for name in files(photos)} == {"001.png", "002.png"}
    undone = run("clean", photos, "--undo")
    assert undone.code == 0, undone.err
    assert files(photos) == before
    assert not store.exists()


def test_from_the_page_to_a_clean_folder_and_back(
    run: Run, audited: tuple[Path, Result], folder: Path, tmp_path: Path
) -> None:
    """The worst picture is decided about in a browser."""
    photos = tmp_path / "photos"
    shutil.copytree(folder, photos)
    before = files(photos)
    page = (audited[0] / "audit.html").read_bytes()
    exported = Browser(tmp_path / "browser").run(page, PRESS + 'press("2"); return exported();')
    decisions = tmp_path / "decisions.json"
    decisions.write_text(exported, encoding="utf-8")
    assert json.loads(exported)["folder"] == str(folder.resolve())
    assert run("clean", photos, decisions).code == 0
    assert set(before) - set(files(photos)) == {str(photos / "sub" / "bad.png")}
    assert run("clean", photos, "--undo").code == 0
    assert files(photos) == before


def test_clean_puts_pictures_where_it_is_told(tmp_path: Path) -> None:
    """As a process, and quick to start: moving files needs no network."""
    photos = tmp_path / "photos"
    parts(photos, 2)
    decisions = write_decisions(tmp_path / "d.json", photos, {"000.png": "remove"})
    store = tmp_path / "elsewhere"
    result = process("clean", photos, decisions, "--quarantine", store)
    assert (result.code, result.out.count("\n")) == (0, 2)
    assert (store / "000.png").exists()
    assert process("clean", photos, "--undo", "--quarantine", store).code == 0
    assert (photos / "000.png").exists()


def test_clean_imports_no_torch() -> None:
    import subprocess

    code = "import sys, softpatch.auditing.quarantine; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_fit_and_audit_leave_out_what_is_decided(run: Run, folder: Path, tmp_path: Path) -> None:
    decisions = write_decisions(
        tmp_path / "d.json", folder,
        {"sub/bad.png": "remove", "broken.png": "remove", "000.png": "keep", "gone.png": "remove"},
    )  # fmt: skip
    model = tmp_path / "part.softpatch"
    result = run("fit", folder, "-o", model, "--exclude", decisions, *SMALL)
    assert result.code == 0, result.err
    assert "left out 2 picture(s)" in result.err
    assert "not left out: gone.png" in result.err
    names = {Path(name).name for name in load(model).image_names_}
    assert len(names) == 13
    assert not names & {"bad.png", "broken.png"}
    again = run("audit", folder, "--json", "--exclude", decisions, *SMALL)
    content = json.loads(again.out)
    assert (len(content["images"]), content["unreadable"]) == (13, [])


def bad_uses(folder: Path, tmp_path: Path) -> dict[str, tuple[tuple[Any, ...], int, str]]:
    decisions = write_decisions(tmp_path / "d.json", folder, {"000.png": "remove"})
    changed = tmp_path / "changed.json"
    changed.write_text(decisions.read_text().replace(file_digest(folder / "000.png"), "0" * 64))
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    return {
        "no folder": (("audit", tmp_path / "none"), 1, "no such folder"),
        "a file": (("audit", folder / "000.png"), 1, "no such folder"),
        "unknown": (("audit", folder, "--discriminator", "padim"), 2, "'padim' is none of"),
        "strict": (("audit", folder, "--strict", *SMALL), 1, "broken.png"),
        "nothing to do": (("clean", folder), 2, "give a file of decisions, or --undo"),
        "both": (("clean", folder, decisions, "--undo"), 2, "give a file of decisions, or"),
        "no decisions": (("clean", folder, tmp_path / "no.json"), 1, "no such file"),
        "damaged": (("clean", folder, broken), 1, "broken.json: not a file of decisions"),
        "changed": (("clean", folder, changed), 1, "000.png: has changed"),
        "fit changed": (
            ("fit", folder, "-o", tmp_path / "m", "--exclude", changed), 1, "000.png: has changed",
        ),
        "no undo": (("clean", folder, "--undo"), 1, "nothing was moved here"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "option", ["--method", "--tau", "--denoise", "--soft-weight", "--coreset-ratio", "--bank-size",
               "--distance", "--dimensions", "--max-false-alarms"],
)  # fmt: skip
def test_options_of_the_memory_bank_are_not_offered(run: Run, folder: Path, option: str) -> None:
    result = run("audit", folder, option, "1")
    assert (result.code, f"No such option: {option}" in result.err) == (2, True)
    assert f"{option} " not in run("audit", "--help").out


def test_bad_use_is_one_line(run: Run, folder: Path, tmp_path: Path) -> None:
    before = files(folder)
    for name, (arguments, code, words) in bad_uses(folder, tmp_path).items():
        result = run(*arguments)
        assert result.code == code, (name, result.err)
        assert words in result.error, name
    assert files(folder) == before


def test_without_jinja_the_page_is_refused_before_the_work(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    result = run("audit", folder, "-o", tmp_path / "out", *SMALL)
    assert result.code == 1
    assert "pip install 'softpatch[audit]'" in result.error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["audit", "clean"])
def test_commands_explain_themselves(run: Run, command: str) -> None:
    result = run(command, "-h")
    assert result.code == 0
    assert f"softpatch {command} photos/" in result.out
