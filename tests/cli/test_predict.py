"""What ``softpatch predict`` leaves, whatever happens to pictures and whatever lies there."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from softpatch.runtime.writers import UNFINISHED
from tests.cli.test_cli import SMALL, Run, run

__all__ = ["run"]  # a fixture


@pytest.fixture
def photos(tmp_path: Path, small_pictures: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        shutil.copy(small_pictures / f"{number}.png", folder)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def table(output: Path) -> list[dict[str, str]]:
    with (output / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_strictly_all_others_have_their_results(run: Run, small_model: Path, photos: Path) -> None:
    (photos / "broken.png").write_text("no picture")
    output = photos.parent / "out"
    result = run("predict", small_model, photos, "-o", output, "--strict")
    assert result.code == 1
    assert "broken.png: not a picture" in result.error
    assert [bool(row["score"]) for row in table(output)] == [True, True, True, False]
    assert table(output)[-1]["error"].startswith("not judged: not a picture")


def test_nothing_of_older_results_is_left_beside_new_ones(
    run: Run, small_model: Path, photos: Path
) -> None:
    pytest.importorskip("jinja2", reason="needs softpatch[audit]")
    output = photos.parent / "out"
    options = ["-o", output, "--masks", "--report"]
    assert run("predict", small_model, photos, *options).code == 0
    (output / "heatmaps" / "notes.txt").write_text("somebody's")
    shutil.copy(photos / "0.png", output / "masks" / "own.png")
    (photos / "0.png").unlink()
    shutil.copy(photos / "1.png", photos / "3.png")
    assert run("predict", small_model, photos, "-o", output, "--no-heatmaps").code == 0
    assert names(output) == [
        "heatmaps/notes.txt", "masks/own.png", "predictions.csv", "predictions.json",
    ]  # fmt: skip


def test_results_among_the_pictures_are_no_pictures(
    run: Run, small_model: Path, photos: Path
) -> None:
    for output in (photos, photos / "monday", photos):
        assert run("predict", small_model, photos, "-o", output, "--masks").code == 0
        assert len(table(output)) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="such names and files are impossible there")
def test_names_of_any_bytes_and_length_and_odd_files(
    run: Run, small_model: Path, photos: Path
) -> None:
    output = photos.parent / "out"
    for name in (b"ll" * 125 + b".png", b"Pr\xfcfling.png"):
        shutil.copy(photos / "0.png", photos / os.fsdecode(name))
    os.mkfifo(photos / "pipe.png")
    (photos / "itself.png").symlink_to("itself.png")
    assert run("predict", small_model, photos, "-o", output).code == 0
    written = json.loads((output / "predictions.json").read_text("utf-8"))
    assert len(written["predictions"]) == 5
    assert all((output / row["heatmap"]).is_file() for row in written["predictions"])
    reasons = {Path(one["path"]).name: one["reason"] for one in written["skipped"]}
    assert reasons == {
        "itself.png": "Too many levels of symbolic links", "pipe.png": "not an ordinary file",
    }  # fmt: skip
    assert len(table(output)) == 7


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_what_was_scored_is_there_when_it_is_killed(
    small_model: Path, photos: Path, small_pictures: Path
) -> None:
    for number in range(300):
        shutil.copy(small_pictures / "4.png", photos / f"late{number}.png")
    (photos / "1.png").write_text("no picture")
    output = photos.parent / "out"
    command = Path(sys.executable).parent / "softpatch"
    with subprocess.Popen(
        [command, "predict", small_model, photos, "-o", output], stderr=subprocess.DEVNULL
    ) as process:
        while not (output / UNFINISHED).exists() or not (output / UNFINISHED).read_bytes():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert not (output / "predictions.csv").exists()
    rows = [json.loads(line) for line in (output / UNFINISHED).read_text().splitlines()]
    assert rows
    assert all("score" in row or row["error"].startswith("not judged: ") for row in rows)


def test_a_page_without_a_picture_that_has_gone(
    run: Run, small_model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted once the last heat map is drawn, before the page is."""
    pytest.importorskip("jinja2", reason="needs softpatch[audit]")
    from softpatch.runtime.writers import Tables

    finish = Tables.finish

    def and_delete(self: Tables, rows: list[dict[str, object]]) -> None:
        finish(self, rows)
        (photos / "0.png").unlink()

    monkeypatch.setattr(Tables, "finish", and_delete)
    output = photos.parent / "out"
    assert run("predict", small_model, photos, "-o", output, "--report").code == 0
    assert (output / "predictions.html").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="its terminals are another matter")
def test_a_terminal_that_lacks_a_character_gets_it_escaped(small_model: Path, photos: Path) -> None:
    (photos / "0.png").rename(photos / "Prüfling.png")
    command = Path(sys.executable).parent / "softpatch"
    for encoding, shown in (("ascii", b"Pr\\xfcfling"), ("utf-8", "Prüfling".encode())):
        told = {"PYTHONIOENCODING": encoding, "COLUMNS": "300"}
        ran = subprocess.run(
            [command, "predict", small_model, photos, "-o", photos.parent / "out"],
            capture_output=True, check=False, env={**os.environ, **told},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert shown in ran.stdout


def test_a_lot_is_called_as_one(run: Run, small_model: Path, photos: Path, tmp_path: Path) -> None:
    output, model = tmp_path / "out", tmp_path / "m.softpatch"
    result = run("predict", small_model, photos, "-o", output, "--fdr", "0.1")
    assert (result.code, "has no scores of good pictures" in result.err) == (2, True)
    shutil.copytree(photos, tmp_path / "more")
    for number in range(3, 9):
        shutil.copy(photos / f"{number % 3}.png", tmp_path / f"more/{number}.png")
    assert run("fit", tmp_path / "more", "-o", model, *SMALL).code == 0
    for share, found in (("0.9", "True"), ("0.0001", "False")):
        for number in range(3):  # all are spoiled
            Image.effect_noise((96, 96), 200).save(photos / f"{number}.png")
        result = run("predict", model, photos, "-o", output, "--fdr", share, "--no-heatmaps")
        assert result.code == 0, result.err
        assert [row["discovery"] for row in table(output)] == [found] * 3
        assert list(table(output)[0])[-1] == "discovery"
        said = "3 of 3 pictures are bad as a lot" if found == "True" else "none of 3 pictures"
        assert said in result.out
    for share in ("0", "1", "nan"):
        result = run("predict", model, photos, "-o", output, "--fdr", share)
        assert (result.code, "--fdr" in result.err) == (2, True)
