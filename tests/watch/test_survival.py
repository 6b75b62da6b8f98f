"""Watching goes on, whatever happens to a picture, a folder or a disk; and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from softpatch import Prediction, SoftPatch, UsageError
from softpatch.errors import DatasetError
from softpatch.watch import by_model, watch
from softpatch.watch.scoring import Scorer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and limits")
QUICK: dict[str, Any] = {"interval": 0.01, "patience": 0.05, "once": True}


@pytest.fixture
def inbox(tmp_path: Path, small_pictures: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "left").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "left/c.png")):
        shutil.copy(small_pictures / f"{number}.png", folder / name)
        os.utime(folder / name, ns=(number, number))
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def done(tmp_path: Path) -> Path:
    folder = tmp_path / "done"
    folder.mkdir()
    return folder


@pytest.fixture
def score(small_detector: SoftPatch) -> Scorer:
    return by_model(small_detector)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


class Ending:
    """Ends a watch when told to, and keeps what it says."""

    def __init__(self, react: Callable[[str], None] = lambda line: None) -> None:
        self.react, self.ended = react, False
        self.told: list[str] = []

    def tell(self, line: str) -> None:
        self.told.append(line)
        self.react(line)

    def stopped(self) -> bool:
        return self.ended

    @property
    def options(self) -> dict[str, Any]:
        return {"interval": 0.01, "patience": 0.05, "tell": self.tell, "stopped": self.stopped}


# -- the same file under two names -----------------------------------------------------------


@pytest.mark.parametrize("way", ["itself", "through a dot", "a link"])
def test_pictures_do_not_move_into_the_watched_folder(
    inbox: Path, out: Path, score: Scorer, way: str
) -> None:
    move = {"itself": inbox, "through a dot": inbox / "left" / "..", "a link": out / "link"}[way]
    if way == "a link":
        move.symlink_to(inbox)
    before = contents(inbox)
    with pytest.raises(UsageError, match="is the watched folder"):
        next(watch(score, inbox, out, move=move, **QUICK))
    assert contents(inbox) == before


def test_a_folder_of_the_watched_one_under_another_name_keeps_its_pictures(
    inbox: Path, out: Path, done: Path, score: Scorer
) -> None:
    (done / "left").symlink_to(inbox / "left")
    picture = (inbox / "left/c.png").read_bytes()
    with pytest.raises(DatasetError, match="is the same place"):
        list(watch(score, inbox, out, move=done, **QUICK))
    assert contents(inbox) == {"left/c.png": picture}
    assert len(lines(out)) == 3


def test_a_link_in_the_other_folder_does_not_pass_for_the_picture(
    inbox: Path, out: Path, done: Path, score: Scorer
) -> None:
    (done / "a.png").symlink_to(inbox / "a.png")
    picture = (inbox / "a.png").read_bytes()
    list(watch(score, inbox, out, move=done, **QUICK))
    assert (done / "a-1.png").read_bytes() == picture


def test_what_has_a_picture_s_name_in_the_other_folder_stays_there(
    inbox: Path, out: Path, done: Path, score: Scorer
) -> None:
    picture = (inbox / "a.png").read_bytes()
    (done / "a.png").mkdir()
    os.mkfifo(done / "a-1.png")
    list(watch(score, inbox, out, move=done, **QUICK))
    assert (done / "a-2.png").read_bytes() == picture
    assert (done / "a.png").is_dir()
    assert (done / "a-1.png").is_fifo()


@pytest.mark.parametrize("anew", [True, False], ids=["as another file", "in its place"])
def test_a_picture_written_again_before_it_moves_is_another_one(
    inbox: Path, out: Path, done: Path, score: Scorer, small_pictures: Path, anew: bool
) -> None:
    again = (small_pictures / "5.png").read_bytes()
    for record in watch(score, inbox, out, move=done, **QUICK):
        if record["path"] == "a.png" and record["modified_ns"] == 0:
            new = inbox / ("new.part" if anew else "a.png")
            new.write_bytes(again)
            new.replace(inbox / "a.png")
    assert (done / "a.png").read_bytes() == again
    assert [one["path"] for one in lines(out)].count("a.png") == 2


def test_results_in_the_watched_folder_are_no_pictures(inbox: Path, score: Scorer) -> None:
    for _ in range(2):
        list(watch(score, inbox, inbox, **QUICK))
    assert sorted(one["path"] for one in lines(inbox)) == ["a.png", "b.png", "left/c.png"]
    drawing = next((inbox / "heatmaps").rglob("a.png*"))
    shutil.copy(drawing, inbox / "left" / "copy.png")
    assert list(watch(score, inbox, inbox, **QUICK)) == []


# -- one picture's error ---------------------------------------------------------------------


def test_odd_files_are_lines_and_never_waited_for(
    inbox: Path, out: Path, done: Path, score: Scorer
) -> None:
    (inbox / "itself.png").symlink_to("itself.png")
    (inbox / "nowhere.png").symlink_to("gone.png")
    (inbox / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(inbox / "pipe.png")
    list(watch(score, inbox, out, move=done, **QUICK))
    errors = {
        one["path"]: one["error"].removeprefix("not judged: ")
        for one in lines(out)
        if "score" not in one
    }
    assert errors == {
        "itself.png": "Too many levels of symbolic links",
        "nowhere.png": "no such file",
        "zero.png": "not an ordinary file",
        "pipe.png": "not an ordinary file",
    }
    assert sorted(contents(done)) == ["a.png", "b.png", "left/c.png"]


def test_any_error_of_one_picture_is_its_line(inbox: Path, out: Path, score: Scorer) -> None:
    def fragile(path: Path, draw: bool) -> tuple[Prediction, bytes | None]:
        if path.name == "a.png":
            raise ZeroDivisionError("of a\nkind")
        return score(path, draw)

    records = list(watch(fragile, inbox, out, **QUICK))
    assert [one.get("error") for one in records if one["path"] == "a.png"] == [
        "not judged: ZeroDivisionError: of a kind"
    ]
    assert sum("score" in one for one in records) == 2


def test_names_may_be_as_long_as_they_can_and_of_any_bytes(
    inbox: Path, out: Path, done: Path, score: Scorer, small_pictures: Path
) -> None:
    names = [b"ll" * 125 + b".png", "ü".encode() * 120 + b".png", b"Pr\xfcfling.png"]
    for name in names:
        shutil.copy(small_pictures / "0.png", inbox / os.fsdecode(name))
    list(watch(score, inbox, out, move=done, **QUICK))
    records = lines(out)
    assert {os.fsencode(one["path"]) for one in records} >= set(names)
    for one in records:
        Image.open(out / one["heatmap"]).verify()
    assert set(map(os.fsencode, contents(done))) >= set(names)


# -- folders and disks -----------------------------------------------------------------------


def test_a_watched_folder_may_go_away_and_come_back(
    inbox: Path, out: Path, score: Scorer, tmp_path: Path
) -> None:
    def react(line: str) -> None:
        if "cannot be listed" in line:
            assert inbox.is_file()
            inbox.unlink()
            (tmp_path / "elsewhere").rename(inbox)

    ending = Ending(react)
    for record in watch(score, inbox, out, **ending.options):
        if record["path"] == "a.png":
            inbox.rename(tmp_path / "elsewhere")
            inbox.write_text("a file")
        ending.ended = len(lines(out)) == 3
    assert [line.removeprefix(f"{inbox}: ") for line in ending.told] == [
        "cannot be listed (Not a directory); waiting until that is over", "all right again",
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["results.jsonl", "."])
def test_a_journal_that_is_moved_away_is_begun_anew(
    inbox: Path, out: Path, score: Scorer, tmp_path: Path, what: str
) -> None:
    ending, away = Ending(), tmp_path / "away"
    for record in watch(score, inbox, out, **ending.options):
        if record["path"] == "a.png":
            (out / what).rename(away)
        ending.ended = record["path"] == "left/c.png"
    old = away if away.is_file() else away / "results.jsonl"
    assert [json.loads(line)["path"] for line in old.read_text().splitlines()] == ["a.png"]
    assert [one["path"] for one in lines(out)] == ["b.png", "left/c.png"]
    assert ending.told == [f"{out / 'results.jsonl'}: was moved away; begun anew"]


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """Sets how many bytes a file may have: beyond, writing fails, after a part of the bytes."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("heatmaps", [True, False])
def test_a_disk_for_results_may_be_full_for_a_while(
    inbox: Path, out: Path, score: Scorer, full_disk: Callable[[int], None], heatmaps: bool
) -> None:
    def react(line: str) -> None:
        if "cannot be written to" in line:
            whole = (out / "results.jsonl").read_bytes()
            assert whole.count(b"\n") == 1
            assert whole.endswith(b"\n")
            full_disk(-1)

    ending = Ending(react)
    for record in watch(score, inbox, out, heatmaps=heatmaps, **ending.options):
        if record["path"] == "a.png":
            full_disk((out / "results.jsonl").stat().st_size + 20)
        ending.ended = len(lines(out)) == 3
    assert [line.removeprefix(f"{out}: ") for line in ending.told] == [
        "cannot be written to (File too large); waiting until that is over", "all right again",
    ]  # fmt: skip
    assert all(heatmaps == ("heatmap" in one) for one in lines(out))


def test_a_disk_that_stays_full_is_an_error_of_one_run(
    inbox: Path, out: Path, score: Scorer, full_disk: Callable[[int], None]
) -> None:
    full_disk(20)
    with pytest.raises(OSError, match="File too large"):
        list(watch(score, inbox, out, **QUICK))
    full_disk(-1)
    assert len(list(watch(score, inbox, out, **QUICK))) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")
def test_a_picture_that_cannot_be_moved_is_named_and_its_folder_s_fault(
    inbox: Path, out: Path, done: Path, score: Scorer
) -> None:
    def react(line: str) -> None:
        (inbox / "left").chmod(0o700)
        ending.ended = "all right" in line

    (inbox / "left").chmod(0o500)
    ending = Ending(react)
    list(watch(score, inbox, out, move=done, **ending.options))
    assert [line.removeprefix(f"{inbox}/") for line in ending.told] == [
        "left/c.png: cannot be moved (Permission denied); waiting until that is over",
        "left/c.png: all right again",
    ]  # fmt: skip
    assert sorted(contents(done)) == ["a.png", "b.png", "left/c.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")
def test_a_folder_that_may_not_be_entered_is_told(inbox: Path, out: Path, score: Scorer) -> None:
    (inbox / "left").chmod(0o400)
    ending = Ending()
    for record in watch(score, inbox, out, **ending.options):
        ending.ended = record["path"] == "b.png"
    (inbox / "left").chmod(0o700)
    told = f"{inbox / 'left'}: cannot be listed (Permission denied); waiting until that is over"
    assert ending.told == [told]
    assert {one["path"] for one in lines(out)} == {"a.png", "b.png"}


def test_another_model_in_the_place_of_its_own_is_told(
    inbox: Path, out: Path, score: Scorer, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.write_text("one")
    ending = Ending()
    for record in watch(score, inbox, out, model=model, **ending.options):
        if record["path"] == "a.png":
            model.write_text("another")
        if record["path"] == "left/c.png":
            shutil.copy(inbox / "a.png", inbox / "last.png")
        ending.ended = record["path"] == "last.png"
    [line] = ending.told
    assert line.startswith(f"{model}: has changed; scores are still by what it was")
