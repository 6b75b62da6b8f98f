"""What killed runs leave under temporary names goes with the next run, and nothing else does."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from softpatch.runtime.files import write_atomically, write_files
from softpatch.runtime.partial import PREFIX, SUFFIX, partial_file, partial_folder
from softpatch.storage.moving import same_folder
from tests.killed import as_another_run, killed_at_every_file_event

pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks")

SET = {"page.html": b"page", "table.csv": b"table", "all.json": b"all"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    target, deaths = tmp_path / "out.json", 0
    target.write_bytes(b"old")
    for _ in killed_at_every_file_event(lambda: write_atomically(target, b"new")):
        deaths += 1
        assert target.read_bytes() in (b"old", b"new")
        as_another_run()
        write_atomically(target, b"next")
        assert names(tmp_path) == {"out.json"}
        target.write_bytes(b"old")
    assert deaths > 3
    assert target.read_bytes() == b"new"


def test_a_set_of_files_is_never_of_two_runs(tmp_path: Path) -> None:
    old = {name: b"old " + content for name, content in SET.items()}
    write_files(tmp_path, old)
    deaths, partly = 0, 0
    for _ in killed_at_every_file_event(lambda: write_files(tmp_path, SET)):
        deaths += 1
        found = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix in
                 (".html", ".csv", ".json")}  # fmt: skip
        assert found.items() <= SET.items() or found.items() <= old.items()
        partly += len(found) < len(SET)
        as_another_run()
        write_files(tmp_path, old)
        assert names(tmp_path) == set(SET)
    assert deaths > 12
    assert partly
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == SET


def test_folders_of_killed_runs_go_too(tmp_path: Path) -> None:
    def export() -> None:
        with partial_folder(tmp_path) as folder:
            (folder / "part.bin").write_bytes(b"weights")
            (folder / "part.bin").replace(tmp_path / "part.bin")

    for _ in killed_at_every_file_event(export):
        as_another_run()
        write_atomically(tmp_path / "next", b"")
        assert names(tmp_path) <= {"next", "part.bin"}


def test_what_tells_whether_two_names_are_one_folder_goes_too(tmp_path: Path) -> None:
    one, other, deaths = tmp_path / "one", tmp_path / "other", 0
    one.mkdir()
    other.mkdir()
    for _ in killed_at_every_file_event(lambda: same_folder(one, other)):
        deaths += 1
        as_another_run()
        assert not same_folder(one, other)
        assert not names(one)
    assert deaths > 2


def test_what_a_living_run_writes_is_left_alone(tmp_path: Path) -> None:
    with partial_file(tmp_path) as (_, one), partial_folder(tmp_path) as other:
        child = os.fork()
        if child == 0:
            as_another_run()
            write_atomically(tmp_path / "of another", b"")
            os._exit(0)
        os.waitpid(child, 0)
        assert names(tmp_path) == {one.name, other.name, "of another"}
    assert names(tmp_path) == {"of another"}


def test_only_what_has_the_names_of_ours_goes(tmp_path: Path) -> None:
    kept = {f"{PREFIX}notes", f"notes{SUFFIX}", ".part.softpatch.settings", "photo.png"}
    for name in kept:
        (tmp_path / name).write_bytes(b"somebody's")
    (tmp_path / f"{PREFIX}left{SUFFIX}").write_bytes(b"of a killed run")
    as_another_run()
    write_atomically(tmp_path / "out", b"")
    assert names(tmp_path) == kept | {"out"}


def test_many_threads_and_processes_write_one_folder(tmp_path: Path) -> None:
    """The first write of each looks for leftovers while the others write."""

    def write_some() -> None:
        as_another_run()
        for index in range(20):
            write_atomically(tmp_path / f"{index}", b"content")

    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for _ in range(10):
                    write_some()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    threads = [threading.Thread(target=write_some) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert names(tmp_path) == {str(index) for index in range(20)}
