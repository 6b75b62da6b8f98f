"""Files appear whole or not at all, and others may read them."""

from __future__ import annotations

import csv
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from softpatch.runtime.files import LONGEST_NAME, csv_bytes, csv_rows, short_name, write_atomically


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.json"


def disk_full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_writes_and_replaces(target: Path) -> None:
    write_atomically(target, b"first")
    assert target.read_bytes() == b"first"
    write_atomically(target, b"")
    assert target.read_bytes() == b""
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_failure_leaves_what_was_there_and_no_temporary(
    target: Path, before: bytes | None, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is not None:
        target.write_bytes(before)

    def fail(*arguments: object) -> None:
        disk_full(0)

    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, b"new")
    monkeypatch.undo()
    names = [path.name for path in target.parent.iterdir()]
    assert names == ([] if before is None else [target.name])
    assert before is None or target.read_bytes() == before


def test_interruption_leaves_no_temporary(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, b"new")
    assert not list(target.parent.iterdir())


def test_missing_folder_is_an_os_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "none" / "out.json", b"new")
    assert "none" in str(caught.value.filename)


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    mask: int = request.param
    before = os.umask(mask)
    yield mask
    os.umask(before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_permissions_follow_the_umask(target: Path, umask: int) -> None:
    write_atomically(target, b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    assert os.umask(umask) == umask  # and it is as it was


def test_csv_quotes_what_needs_it() -> None:
    rows = [
        {"path": 'a "b", c.png', "score": 0.1},
        {"path": "two\nlines.png", "score": 1e-20},
        {"path": "grün/漢字.png", "score": 3},
    ]
    content = csv_bytes(rows)
    assert content.startswith(b"path,score\n")
    back = list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))
    assert [row["path"] for row in back] == [row["path"] for row in rows]
    assert [float(row["score"]) for row in back] == [row["score"] for row in rows]


def test_csv_has_names_of_any_bytes() -> None:
    rows = [{"path": os.fsdecode(b"Pr\xfcfling.png")}]
    assert csv_bytes(rows).decode("utf-8") == "path\nPr\\udcfcfling.png\n"


@pytest.mark.parametrize("letter", ["l", "ü", "漢", "\udcfc"])
def test_names_may_be_as_long_as_they_can(tmp_path: Path, letter: str) -> None:
    whole = letter * ((LONGEST_NAME - 4) // len(os.fsencode(letter))) + ".png"
    assert short_name("a", ".png") == "a.png"
    name = short_name(whole, "-1.png")
    assert name.endswith("-1.png")
    assert name != short_name(f"x{whole[1:]}", "-1.png")
    for one in (whole, name):
        write_atomically(tmp_path / one, b"content")
        assert (tmp_path / one).read_bytes() == b"content"


def test_csv_ends_lines_the_same_on_every_system() -> None:
    assert csv_bytes([{"a": 1, "b": 2}, {"b": 4, "a": 3}]) == b"a,b\n1,2\n3,4\n"


def test_csv_refuses_a_row_with_another_column() -> None:
    with pytest.raises(ValueError, match="extra"):
        csv_bytes([{"a": 1}, {"a": 1, "extra": 2}])


@pytest.mark.parametrize(
    "name",
    ["=1+1.png", "+1.png", "-1.png", "@SUM(A1).png", "\t=1.png", "\r=1.png", "\n=1.png", "＝1.png"],
)
def test_no_cell_is_a_formula_to_a_spreadsheet_and_names_come_back(name: str) -> None:
    quoted = f"'{name}"  # a name that looks as if it had been changed already
    rows = [{name: each, "score": -0.5} for each in (name, quoted, f"'{quoted}", Path(name))]
    content = csv_bytes(rows)
    for line in csv.reader(io.StringIO(content.decode(), newline="")):
        assert line[0].startswith("'")
        assert line[1] in ("score", "-0.5")  # numbers stay numbers
    assert [row[name] for row in csv_rows(content)] == [name, quoted, f"'{quoted}", name]


@pytest.mark.parametrize("name", ["'s.png", "a=b.png", "'", "", "a-b.png", "'a=1.png", " =1.png"])
def test_other_cells_stay_as_they_are(name: str) -> None:
    content = csv_bytes([{"path": name, "score": 1}])
    assert content == f"path,score\n{name},1\n".encode()
    assert csv_rows(content) == [{"path": name, "score": "1"}]
