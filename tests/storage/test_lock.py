"""One process at a time changes a file; the others wait or are told; nothing is left by a kill."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softpatch import SoftPatch, load
from softpatch.errors import BusyError
from softpatch.runtime.files import write_atomically
from softpatch.storage import lock, model_file
from softpatch.storage.lock import changing
from softpatch.storage.versions import kept_versions, lineage_of, roll_back, write_version
from tests.cli.test_cli import COMMAND, SMALL, Run, run
from tests.detectors.pictures import new_pictures
from tests.killed import as_another_run, killed_at_every_file_event

__all__ = ["run"]  # the fixture

pytestmark = [
    pytest.mark.usefixtures("one_backbone"),
    pytest.mark.skipif(os.name == "nt", reason="forks"),
]

HOLD = """
import sys
from pathlib import Path
from softpatch.storage.lock import changing
sys.argv = ["/usr/bin/softpatch", "update", "--secret"]
with changing(Path({path!r})):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def part(small_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_model, tmp_path / "part.softpatch"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.0)


@pytest.fixture
def held(part: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is changing ``part``, until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(path=str(part))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with process:  # which closes its pipes and waits
        yield process
        process.kill()


@pytest.mark.usefixtures("impatient")
def test_who_comes_second_is_told_who_has_it_and_since_when(
    run: Run,
    held: subprocess.Popen[str],
    part: Path,
    small_pictures: Path,
    small_detector: SoftPatch,
) -> None:
    before = part.read_bytes()
    for command in (
        ("update", part, small_pictures),
        ("threshold", part, "--value", "3"),
        ("rollback", part),
        ("merge", part, part, "-o", part),
        ("fit", small_pictures, "-o", part),
        ("export", part, "-o", part),
    ):
        result = run(*command)
        assert result.code == 1, command
        assert re.fullmatch(
            rf"{part}: is being changed by softpatch update \(process {held.pid} on .+, since "
            r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d\); try again when that has ended",
            result.error,
        ), result.error
    with pytest.raises(BusyError, match=f"process {held.pid}"):
        small_detector.save(part)
    assert part.read_bytes() == before


@pytest.mark.usefixtures("impatient")
def test_readers_never_wait(
    run: Run, held: subprocess.Popen[str], part: Path, small_pictures: Path
) -> None:
    assert held.poll() is None
    out = part.with_name("out")
    for command in (("info", part), ("verify", part), ("predict", part, small_pictures, "-o", out)):
        assert run(*command).code == 0
    other = part.with_name("other.softpatch")
    assert run("threshold", part, "--value", "3", "-o", other).code == 0
    assert load(other).threshold_ == 3


@contextmanager
def held_elsewhere(path: Path) -> Iterator[None]:
    """Somebody else, a thread, is changing it."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with changing(path):
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.usefixtures("impatient")
def test_folders_that_somebody_else_is_changing(
    run: Run, small_pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("jinja2", reason="needs softpatch[audit]")
    photos = Path(shutil.copytree(small_pictures, tmp_path / "plant" / "photos"))
    decisions = tmp_path / "decisions.json"
    entries = {"format": "softpatch-decisions", "version": 1, "decisions": {"0.png": "remove"}}
    decisions.write_text(json.dumps(entries))
    models, report, plant = tmp_path / "models", tmp_path / "report", photos.parent
    for folder, command in {
        photos: ("clean", photos, decisions),
        photos.with_name("photos-quarantine"): ("clean", photos, decisions),
        models: ("fit-many", plant, "-o", models),
        report: ("audit", photos, "-o", report),
    }.items():
        with held_elsewhere(folder):
            result = run(*command)
            assert (result.code, "is being changed by" in result.err) == (1, True), command
    with held_elsewhere(photos):
        assert run("clean", photos, decisions, "--dry-run").code == 0
    assert len(list(photos.iterdir())) == 8
    assert run("clean", photos, decisions).code == 0
    assert run("clean", photos, "--undo").code == 0
    assert {path.name for path in plant.iterdir()} == {"photos"}


@pytest.mark.usefixtures("impatient")
def test_a_camera_whose_model_somebody_else_is_changing(
    run: Run, small_pictures: Path, tmp_path: Path
) -> None:
    for camera in ("left", "right"):
        shutil.copytree(small_pictures, tmp_path / "plant" / camera)
    models = tmp_path / "models"
    models.mkdir()
    with held_elsewhere(models / "left.softpatch"):
        result = run("fit-many", tmp_path / "plant", "-o", models, *SMALL)
    assert result.code == 1
    assert "is being changed by" in result.out + result.err
    assert not (models / "left.softpatch").exists()
    assert load(models / "right.softpatch").image_names_


def test_who_comes_second_waits_for_what_is_short(held: subprocess.Popen[str], part: Path) -> None:
    assert held.stdin is not None
    threading.Timer(0.2, held.stdin.close).start()
    with changing(part):
        assert held.wait() == 0


@pytest.mark.usefixtures("impatient")
def test_a_killed_holder_blocks_nobody_and_leaves_nothing(
    held: subprocess.Popen[str], part: Path
) -> None:
    held.send_signal(signal.SIGKILL)
    held.wait()
    with changing(part):
        pass
    assert [path.name for path in part.parent.iterdir()] == [part.name]


@pytest.mark.usefixtures("impatient")
def test_nested_blocks_and_other_names_of_the_file(part: Path) -> None:
    link = part.with_name("link.softpatch")
    link.symlink_to(part)
    failed: list[BaseException] = []

    def other() -> None:
        try:
            with changing(link):
                pass
        except BusyError as error:
            failed.append(error)

    with changing(part):
        with changing(link):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(failed) == 1
    with changing(link):
        pass
    assert sorted(path.name for path in part.parent.iterdir()) == [link.name, part.name]


def test_names_of_any_length(tmp_path: Path) -> None:
    for name in ("a" * 255, "ü" * 127):
        with changing(tmp_path / name):
            write_atomically(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_beside_which_nothing_may_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "mounted" / "photos"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o500)
    with changing(folder):
        assert [path.name for path in folder.iterdir()] == [".softpatch-lock"]
    assert not list(folder.iterdir())
    folder.parent.chmod(0o700)


def test_no_change_of_many_processes_is_lost(tmp_path: Path) -> None:
    count, times, processes = tmp_path / "count", 40, 4
    count.write_text("0")
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for _ in range(times):
                    with changing(count):
                        write_atomically(count, str(int(count.read_text()) + 1).encode())
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * processes
    assert count.read_text() == str(times * processes)
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_two_commands_at_once_lose_nothing(part: Path, tmp_path: Path) -> None:
    """Each is a process of its own. What it says it did is in the model; on a busy machine one may
    have waited too long, and says so."""
    processes = []
    for day in range(2):
        folder = tmp_path / f"day{day}"
        folder.mkdir()
        for index, picture in enumerate(new_pictures(3)):
            Image.fromarray(np.roll(picture, day + 1, axis=1)).save(folder / f"{index}.png")
        command = [str(COMMAND), "update", str(part), str(folder), "--yes", "--device", "cpu"]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    command = [str(COMMAND), "threshold", str(part), "--value", "7"]
    processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    done = []
    for process in processes:
        _, said = process.communicate()
        assert process.returncode == 0 or "is being changed by softpatch" in said, said
        done.append(process.returncode == 0)
    model = load(part)
    assert len(model.image_names_) == 8 + 3 * sum(done[:2])
    assert lineage_of(part).version == 1 + sum(done[:2])
    assert (model.threshold_ == 7) == done[2]  # one set by hand stays in an update
    assert any(done)
    names = {path.name for path in tmp_path.iterdir()}
    assert names - {"part.softpatch.versions"} == {"part.softpatch", "day0", "day1"}


def test_versions_survive_a_kill_at_any_file_event(part: Path) -> None:
    """The old version or the new one is there, and the next run tidies up."""
    old = part.read_bytes()
    new = load(part, SoftPatch).update(new_pictures()[:2])
    deaths = 0

    def start_again() -> None:
        shutil.rmtree(part.with_name(f"{part.name}.versions"), ignore_errors=True)
        for path in part.parent.iterdir():
            path.unlink()
        part.write_bytes(old)

    def change() -> None:
        write_version(new, part)
        roll_back(part)

    for _ in killed_at_every_file_event(change):
        deaths += 1
        model_file.read(part)
        contents = {
            part.read_bytes(),
            *(path.read_bytes() for path in kept_versions(part).values()),
        }
        assert old in contents
        as_another_run()
        write_version(load(part, SoftPatch), part)
        left = {path.name for path in part.parent.rglob("*")} - {"0001.softpatch", "0002.softpatch"}
        assert left == {part.name, f"{part.name}.versions"}
        start_again()
    assert deaths > 20
    assert part.read_bytes() == old
