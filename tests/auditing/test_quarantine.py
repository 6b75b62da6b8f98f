"""Quarantine and restore lose nothing, whatever happens in between."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from softpatch.auditing import quarantine
from softpatch.auditing.decisions import Decisions
from softpatch.auditing.quarantine import (
    JOURNAL,
    default_quarantine,
    removable,
    remove,
    restorable,
    restore,
)
from softpatch.errors import DatasetError

NAMES = ("a.png", "sub/b.png", "sub/deep/c.png", "keep.png")
REMOVE = NAMES[:3]


class Killed(BaseException):
    """Stops the program as a signal would: nothing catches it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"content of {name}".encode())
        os.utime(path, (1_000_000 + number, 1_000_000 + number))
    return folder


@pytest.fixture(params=["links", "copies"])
def moving(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to move: within a file system, and from one to another."""
    if request.param == "copies":

        def no_link(source: Path, target: Path) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, "link", no_link)
    return str(request.param)


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below: content and time."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), int(path.stat().st_mtime))
        for path in folder.rglob("*")
        if path.is_file()
    }


def decisions(folder: Path, *names: str) -> Decisions:
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    return Decisions(tuple(sorted(names)), (), None, digests)


def clean(folder: Path, store: Path, wanted: Decisions) -> None:
    remove(folder, store, removable(folder, store, wanted))


def undo(folder: Path, store: Path) -> list[str]:
    return restore(folder, store, restorable(folder, store))


def test_removed_pictures_move_and_come_back_bit_for_bit(folder: Path, moving: str) -> None:
    before = state(folder)
    store = default_quarantine(folder)
    clean(folder, store, decisions(folder, *REMOVE))
    assert set(state(folder)) == {"keep.png"}
    moved = state(store)
    moved.pop(JOURNAL)
    assert moved == {name: before[name] for name in REMOVE}
    assert undo(folder, store) == []
    assert state(folder) == before
    assert not store.exists()


def test_clean_again_moves_only_what_is_new(folder: Path) -> None:
    before = state(folder)
    store = default_quarantine(folder)
    both = decisions(folder, "a.png", "sub/b.png")
    clean(folder, store, decisions(folder, "a.png"))
    assert list(removable(folder, store, both)) == ["sub/b.png"]
    clean(folder, store, both)
    assert removable(folder, store, both) == {}
    undo(folder, store)
    assert state(folder) == before


def interrupted(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], object], at: int, after: bool
) -> bool:
    """Run ``call`` and kill it before or after the ``at``-th change of the disk.

    Returns:
        whether there were so many.
    """
    count = 0

    def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == at and not after:
                raise Killed
            number = count
            try:
                return real(*arguments, **options)
            finally:
                if number == at:
                    raise Killed

        return run

    with monkeypatch.context() as patched:
        for home, name in (
            (os, "link"), (Path, "unlink"), (Path, "rename"), (Path, "mkdir"), (Path, "rmdir"),
            (quarantine, "write_atomically"), (shutil, "copyfileobj"),
            (shutil, "copystat"),
        ):  # fmt: skip
            patched.setattr(home, name, deadly(getattr(home, name)))
        try:
            call()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_moment_undo_restores_everything(
    folder: Path, moving: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(folder)
    store = default_quarantine(folder)
    wanted = decisions(folder, *REMOVE)
    at = 1
    while interrupted(monkeypatch, lambda: clean(folder, store, wanted), at, after):
        assert {**before, **state(folder)} == before  # nothing half-written, nothing new
        if (store / JOURNAL).exists():
            undo(folder, store)
        assert state(folder) == before
        at += 1
    assert at > len(REMOVE) * 2  # it was killed at many moments
    at = 1
    while interrupted(monkeypatch, lambda: undo(folder, store), at, after):
        if (store / JOURNAL).exists():
            undo(folder, store)
        assert state(folder) == before
        clean(folder, store, wanted)
        at += 1
    assert state(folder) == before


@pytest.mark.parametrize("after", [False, True])
def test_killed_clean_goes_on(
    folder: Path, moving: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(folder)
    store = default_quarantine(folder)
    wanted = decisions(folder, *REMOVE)
    at = 1
    while interrupted(monkeypatch, lambda: clean(folder, store, wanted), at, after):
        clean(folder, store, wanted)
        assert set(state(folder)) == {"keep.png"}
        undo(folder, store)
        assert state(folder) == before
        at += 1


def test_changed_or_missing_files_stop_before_anything_moves(folder: Path) -> None:
    store = default_quarantine(folder)
    wanted = decisions(folder, *REMOVE)
    (folder / "sub/b.png").write_text("another picture")
    with pytest.raises(DatasetError, match=r"b\.png: has changed since"):
        clean(folder, store, wanted)
    (folder / "sub/b.png").unlink()
    with pytest.raises(DatasetError, match=r"b\.png: no such file"):
        clean(folder, store, wanted)
    assert (folder / "a.png").exists()
    assert not store.exists()


def test_nothing_is_overwritten(folder: Path) -> None:
    store = default_quarantine(folder)
    (store / "sub").mkdir(parents=True)
    (store / "sub/b.png").write_text("somebody's")
    with pytest.raises(DatasetError, match="is there already"):
        clean(folder, store, decisions(folder, "a.png", "sub/b.png"))
    assert (store / "sub/b.png").read_text() == "somebody's"
    assert (folder / "a.png").exists()


def test_a_new_file_of_the_same_name_is_not_overwritten_by_undo(folder: Path) -> None:
    store = default_quarantine(folder)
    clean(folder, store, decisions(folder, *REMOVE))
    (folder / "a.png").write_text("a new picture")
    with pytest.raises(DatasetError, match=r"a\.png: another file has taken its place"):
        undo(folder, store)
    assert (folder / "a.png").read_text() == "a new picture"
    assert not (folder / "sub/b.png").exists()  # nothing was moved
    with pytest.raises(DatasetError, match=r"a\.png: is there already"):
        clean(folder, store, decisions(folder, "a.png"))


def test_undo_names_what_somebody_has_deleted(folder: Path) -> None:
    store = default_quarantine(folder)
    clean(folder, store, decisions(folder, *REMOVE))
    (store / "a.png").unlink()
    assert undo(folder, store) == ["a.png"]
    assert set(state(folder)) == {"keep.png", *REMOVE[1:]}


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.png").write_text("not ours")
    (folder / "linked").symlink_to(outside)
    (folder / "link.png").symlink_to(outside / "x.png")
    store = default_quarantine(folder)
    for name in ("linked/x.png", "link.png"):
        with pytest.raises(DatasetError, match="is a link; only files that lie in the folder"):
            clean(folder, store, Decisions((name,), (), None, {}))
    assert (outside / "x.png").exists()
    store.mkdir()
    (store / "sub").symlink_to(outside)
    with pytest.raises(DatasetError, match="is a link"):
        clean(folder, store, decisions(folder, "sub/b.png"))


def test_quarantine_must_be_outside_and_one_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="lies inside"):
        clean(folder, folder / "bad", decisions(folder, "a.png"))
    store = tmp_path / "store"
    clean(folder, store, decisions(folder, "a.png"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "z.png").write_text("z")
    with pytest.raises(DatasetError, match=r"holds pictures of .*photos; name another"):
        clean(other, store, decisions(other, "z.png"))


def test_pictures_go_back_only_to_the_folder_that_they_are_from(
    folder: Path, tmp_path: Path
) -> None:
    store, other, link = tmp_path / "store", tmp_path / "other", tmp_path / "link"
    clean(folder, store, decisions(folder, *REMOVE))
    other.mkdir()
    with pytest.raises(DatasetError, match=r"holds pictures of .*photos; name .* that folder"):
        undo(other, store)
    assert not list(other.iterdir())
    link.symlink_to(folder)
    assert undo(link, store) == []
    assert {*NAMES} == set(state(folder))


def test_a_file_written_again_while_it_moves_is_kept(
    folder: Path, moving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = default_quarantine(folder)
    files = removable(folder, store, decisions(folder, "a.png"))
    sync = os.fsync

    def write_again(descriptor: int) -> None:
        sync(descriptor)
        if (store / "a.png").exists():
            (folder / "new").write_text("a new picture")
            (folder / "new").replace(folder / "a.png")

    monkeypatch.setattr(os, "fsync", write_again)
    with pytest.raises(DatasetError, match="changed while it was moved"):
        remove(folder, store, files)
    assert (folder / "a.png").read_text() == "a new picture"
    assert (store / "a.png").read_text() == "content of a.png"


def test_names_may_be_as_long_as_they_can(folder: Path, moving: str) -> None:
    name = "l" * 251 + ".png"
    (folder / name).write_text("long")
    before, store = state(folder), default_quarantine(folder)
    clean(folder, store, decisions(folder, name))
    assert (store / name).is_file()
    undo(folder, store)
    assert state(folder) == before


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", json.dumps({"format": "softpatch-quarantine", "version": 1, "folder": "x",
                                "files": ["../../etc/passwd"]})],
)  # fmt: skip
def test_damaged_or_hostile_journals_are_one_error(folder: Path, tmp_path: Path, text: str) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with pytest.raises(DatasetError, match="nothing was moved here"):
        undo(folder, store)
    (store / JOURNAL).write_text(text)
    with pytest.raises(DatasetError, match="damaged journal"):
        undo(folder, store)
