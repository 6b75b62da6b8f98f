"""The file of decisions."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from softpatch.auditing.decisions import read_decisions, stays_inside, without_removed
from softpatch.errors import DatasetError
from softpatch.runtime.files import file_digest


def write(path: Path, **changes: Any) -> Path:
    content = {
        "format": "softpatch-decisions", "version": 1, "folder": "/data",
        "decisions": {"b.png": "remove", "sub/a.png": "remove", "c.png": "keep", "d.png": "unsure"},
        "sha256": {},
    }  # fmt: skip
    path.write_text(json.dumps(content | changes), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.png", "c.png", "d.png", "sub/a.png"):
        (folder / name).write_text(name)
    return folder


def test_what_is_to_be_removed(tmp_path: Path) -> None:
    decisions = read_decisions(write(tmp_path / "d.json", sha256={"b.png": "ff"}))
    assert decisions.remove == ("b.png", "sub/a.png")
    assert decisions.sha256 == {"b.png": "ff"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "its format is 'other'"),
        ({"version": 2}, "version 2; this program reads 1"),
        ({"decisions": {"a.png": "delete"}}, "a.png is to be 'delete'"),
        ({"decisions": [1]}, "not a file of decisions"),
        ({"decisions": {"../a.png": "remove"}}, "'../a.png' is no path inside"),
        ({"decisions": {"/etc/passwd": "keep"}}, "'/etc/passwd' is no path inside"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write(tmp_path / "d.json", **changes)
    with pytest.raises(DatasetError, match=r"d\.json: not a file of decisions") as caught:
        read_decisions(path)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"format": 1}', "\x00", "[" * 5000])
def test_damaged_files_are_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match="not a file of decisions"):
        read_decisions(path)
    with pytest.raises(DatasetError, match="no such file of decisions"):
        read_decisions(tmp_path / "none.json")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/..", "a/../b", "/a", "a//b", "./a", "a\0b", 3],
)
def test_paths_that_could_leave_the_folder_do_not_pass(name: object) -> None:
    assert not stays_inside(name)


@pytest.mark.parametrize("name", ["a.png", "sub/a.png", "..a", "a b/ü.png"])
def test_paths_inside_pass(name: str) -> None:
    assert stays_inside(name)


@pytest.mark.parametrize(
    "name", ["C:/a", "12:30/a.png", "2024-05-01T12:30:05.png", "shift2\\7.png"]
)
def test_colons_and_backslashes_mean_something_on_windows_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stays_inside(name) == (os.name != "nt")
    monkeypatch.setattr(os, "name", "nt")
    assert not stays_inside(name)


def test_an_odd_entry_does_not_void_the_others(tmp_path: Path) -> None:
    entries = {"a.png": "remove", "../b.png": "remove", "c.png": "delete", "d:e.png": "keep"}
    path = write(tmp_path / "d.json", decisions=entries, sha256={"../b.png": "0", "a.png": "1"})
    found = read_decisions(path)
    assert (found.remove, found.sha256["a.png"]) == (("a.png",), "1")
    words = " ".join(found.odd)
    assert "'../b.png' is no path inside the folder" in words
    assert "c.png is to be 'delete'" in words
    assert len(found.odd) == 2


def test_removed_pictures_are_left_out(tmp_path: Path, folder: Path) -> None:
    pictures = sorted(path for path in folder.rglob("*") if path.is_file())
    good = {"b.png": hashlib.sha256(b"b.png").hexdigest()}
    decisions = read_decisions(write(tmp_path / "d.json", sha256=good))
    kept, unknown = without_removed(pictures, folder, decisions)
    assert [path.name for path in kept] == ["c.png", "d.png"]
    assert unknown == []
    (folder / "sub" / "a.png").unlink()
    _, unknown = without_removed([folder / "b.png"], folder, decisions)
    assert unknown == ["sub/a.png"]


def test_a_changed_picture_is_an_error(tmp_path: Path, folder: Path) -> None:
    decisions = read_decisions(write(tmp_path / "d.json", sha256={"b.png": "0" * 64}))
    with pytest.raises(DatasetError, match=r"b\.png: has changed since it was decided about"):
        without_removed([folder / "b.png"], folder, decisions)


def test_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()
