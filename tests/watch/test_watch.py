"""Watching a folder: each picture once, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from softpatch import DatasetError, ModelFileError, SoftPatch, UsageError
from softpatch.watch import Journal, by_exported, by_model, watch
from softpatch.watch.arrivals import Arrival
from tests.watch.kills import KILLS

QUICK: dict[str, Any] = {"interval": 0.01, "patience": 0.05, "once": True}


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Folders where pictures appear, where results go, and where pictures are moved."""
    folders = (tmp_path / "in", tmp_path / "out", tmp_path / "done")
    for folder in folders:
        folder.mkdir()
    return folders


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes")
def test_fifty_kills_lose_and_double_nothing(
    small_model: Path,
    small_detector: SoftPatch,
    small_pictures: Path,
    places: tuple[Path, Path, Path],
) -> None:
    inbox, out, done = places
    for number in range(3):
        (inbox / str(number)).mkdir()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.watch.kills", small_model, small_pictures, *places],
        capture_output=True, text=True, timeout=300, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.split()[0]) > 0  # the killed ones did some of the work
    records = lines(out)
    expected = {f"{number % 3}/{number}.png" for number in range(KILLS)}
    assert sorted(record["path"] for record in records) == sorted(expected)
    assert {path.relative_to(done).as_posix() for path in done.rglob("*.png")} == expected
    assert not list(inbox.rglob("*.png"))
    scores = {path.read_bytes(): small_detector.predict(path).score
              for path in small_pictures.iterdir()}  # fmt: skip
    for record in records:
        content = (done / record["path"]).read_bytes()
        assert record["score"] == pytest.approx(scores[content], rel=1e-5)
        Image.open(out / record["heatmap"]).verify()
    drawn = [path for path in (out / "heatmaps").rglob("*") if path.is_file()]
    assert len(drawn) == KILLS  # and no halves of them


def test_pictures_stay_and_are_not_done_again(
    small_detector: SoftPatch, small_pictures: Path, places: tuple[Path, Path, Path]
) -> None:
    inbox, out, _ = places
    shutil.copy(small_pictures / "0.png", inbox / "a.png")
    shutil.copy(small_pictures / "1.png", inbox / ".hidden.png")
    (inbox / "half.png").write_bytes((small_pictures / "2.png").read_bytes()[:1000])
    new = list(watch(by_model(small_detector), inbox, out, heatmaps=False, **QUICK))
    assert [record["path"] for record in new] == ["a.png", "half.png"]
    assert new[0]["score"] == small_detector.predict(inbox / "a.png").score
    assert "cut or corrupt" in new[1]["error"]
    assert list(watch(by_model(small_detector), inbox, out, **QUICK)) == []
    # Of the same name, but another picture.
    shutil.copy(small_pictures / "3.png", inbox / "a.png")
    os.utime(inbox / "a.png", ns=(1, 1))
    [again] = watch(by_model(small_detector), inbox, out, **QUICK)
    assert again["score"] == small_detector.predict(small_pictures / "3.png").score
    assert lines(out) == [*new, again]
    assert sorted(path.name for path in inbox.iterdir()) == [".hidden.png", "a.png", "half.png"]


def test_moved_pictures_never_take_another_one_s_place(
    small_detector: SoftPatch, small_pictures: Path, places: tuple[Path, Path, Path]
) -> None:
    inbox, out, done = places
    for number in range(3):
        shutil.copy(small_pictures / f"{number}.png", inbox / "last.png")
        os.utime(inbox / "last.png", ns=(number, number))
        list(watch(by_model(small_detector), inbox, out, move=done, heatmaps=False, **QUICK))
    moved = ["last.png", "last-1.png", "last-2.png"]
    for number, name in enumerate(moved):
        assert (done / name).read_bytes() == (small_pictures / f"{number}.png").read_bytes()
    assert len(list(done.iterdir())) == len(lines(out)) == 3


def test_exported_files_score_without_torch(
    exported: Path, small_pictures: Path, places: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    inbox, out, _ = places
    shutil.copy(small_pictures / "0.png", inbox)
    (inbox / "half.png").write_bytes((small_pictures / "2.png").read_bytes()[:1000])
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    command = Path(sys.executable).parent / "softpatch"
    options = ["--once", "--interval", "0.01", "--patience", "0.05"]
    ran = subprocess.run(
        [command, "watch", exported, inbox, "-o", out, *options],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    whole, half = lines(out)
    prediction, drawing = by_exported(exported)(inbox / "0.png", True)
    for name in ("score", "anomalous", "verdict", "p_value"):
        assert whole.get(name) == getattr(prediction, name)
    assert (out / whole["heatmap"]).read_bytes() == drawing
    assert "cut or corrupt" in half["error"]
    foreign = tmp_path / "part.onnx"
    foreign.write_text("no graph")
    with pytest.raises(ModelFileError, match="cut, or not an ONNX file"):
        by_exported(foreign)


def test_own_folders_inside_are_not_watched(
    small_detector: SoftPatch, small_pictures: Path, tmp_path: Path
) -> None:
    inbox = tmp_path / "in"
    out, done = inbox / "out", inbox / "done"
    for folder in (out / "heatmaps", done):
        folder.mkdir(parents=True)
    own = out / "heatmaps" / ".notes.markdown"
    own.touch()
    shutil.copy(small_pictures / "0.png", inbox)
    for expected in (1, 0):
        assert (
            len(list(watch(by_model(small_detector), inbox, out, move=done, **QUICK))) == expected
        )
    assert (done / "0.png").is_file()
    assert own.is_file()


def test_torn_line_is_done_again_and_a_foreign_one_refused(tmp_path: Path) -> None:
    arrival = Arrival(tmp_path / "a.png", "a.png", 5, 7)
    journal = Journal(tmp_path)
    journal.add(arrival, {"score": 1.0})
    with pytest.raises(UsageError, match="another softpatch watch writes to it"):
        Journal(tmp_path)
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + b'{"path": "b.png", "by')
    journal = Journal(tmp_path)
    assert arrival in journal
    assert journal.path.read_bytes() == whole
    journal.close()
    for foreign in ("no journal\n", "no journal", '{"score": 1}', '{"path": 1}\n'):
        journal.path.write_text(foreign)
        with pytest.raises(DatasetError, match="holds a line that is no result"):
            Journal(tmp_path)
        assert journal.path.read_text() == foreign


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
def test_a_journal_is_an_ordinary_file(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    for make in (Path.mkdir, os.mkfifo, lambda path: path.symlink_to(tmp_path / "nothing")):
        make(results)
        with pytest.raises(UsageError, match="is no ordinary file"):
            Journal(tmp_path)
        results.rmdir() if results.is_dir() else results.unlink()


def test_the_users_own_files_are_no_heat_maps(
    small_detector: SoftPatch, small_pictures: Path, places: tuple[Path, Path, Path]
) -> None:
    inbox, out, _ = places
    arrived = Path(shutil.copy(small_pictures / "0.png", inbox))
    own = out / "heatmaps" / f"0.png-{arrived.stat().st_mtime_ns}.png"
    own.parent.mkdir(parents=True)
    shutil.copy(small_pictures / "1.png", own)
    [record] = watch(by_model(small_detector), inbox, out, once=True, interval=0.01)
    assert "is another kind of file" in record["error"]
    assert own.read_bytes() == (small_pictures / "1.png").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="fills a pipe")
def test_command_goes_on_while_nobody_reads_what_it_prints(
    small_model: Path, small_pictures: Path, places: tuple[Path, Path, Path]
) -> None:
    inbox, out, done = places
    shutil.copy(small_pictures / "0.png", inbox)
    command = Path(sys.executable).parent / "softpatch"
    options = ["--interval", "0.01", "--device", "cpu", "--move", str(done), "--no-heatmaps"]
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while os.write(writing, bytes(4096)):
            pass
    os.set_blocking(writing, True)
    with subprocess.Popen(
        [command, "watch", small_model, inbox, "-o", out, *options],
        stdout=writing, stderr=writing,
    ) as process:  # fmt: skip
        for number in range(2):
            for _ in range(6_000):
                if (done / f"{number}.png").exists() or process.poll() is not None:
                    break
                time.sleep(0.01)
            if number == 0:
                shutil.copy(small_pictures / "1.png", inbox)
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    os.close(reading)
    os.close(writing)
    assert [record["path"] for record in lines(out)] == ["0.png", "1.png"]


def test_command_ends_with_0_when_it_is_told_to(
    small_model: Path, small_pictures: Path, places: tuple[Path, Path, Path]
) -> None:
    inbox, out, done = places
    shutil.copy(small_pictures / "0.png", inbox)
    command = Path(sys.executable).parent / "softpatch"
    options = ["--interval", "0.01", "--device", "cpu", "--move", str(done)]
    with subprocess.Popen(
        [command, "watch", small_model, inbox, "-o", out, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().endswith("  0.png\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == f"watching {inbox}; Ctrl-C ends it\n"
    assert (done / "0.png").is_file()
    [record] = lines(out)
    assert (out / record["heatmap"]).is_file()
