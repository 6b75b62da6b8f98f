"""Versions of a model file: nothing is lost, whenever the process is killed."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from softpatch import SoftPatch, load
from softpatch.errors import ModelFileError
from softpatch.storage.versions import (
    kept_versions,
    lineage_of,
    roll_back,
    versions_folder,
    write_version,
)
from tests.detectors.pictures import new_pictures

pytestmark = pytest.mark.usefixtures("one_backbone")


@pytest.fixture
def part(small_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_model, tmp_path / "part.softpatch"))


def updated(path: Path) -> SoftPatch:
    detector = load(path)
    assert isinstance(detector, SoftPatch)
    return detector.update(new_pictures()[:2])


def test_each_update_keeps_the_one_before(part: Path) -> None:
    first = part.read_bytes()
    write_version(updated(part), part)
    second = part.read_bytes()
    write_version(updated(part), part)
    assert list(kept_versions(part)) == [1, 2]
    assert kept_versions(part)[1].read_bytes() == first
    assert kept_versions(part)[2].read_bytes() == second
    assert kept_versions(part)[1].name == "0001.softpatch"
    about = lineage_of(part)
    assert (about.version, about.added) == (3, 2)
    assert about.parents == (hashlib.sha256(second).hexdigest(),)


def test_rolling_back_can_be_undone(part: Path) -> None:
    contents = [part.read_bytes()]
    for _ in range(2):
        write_version(updated(part), part)
        contents.append(part.read_bytes())
    assert roll_back(part).version == 2
    assert part.read_bytes() == contents[1]
    assert roll_back(part).version == 1
    assert roll_back(part, to=3).version == 3
    assert part.read_bytes() == contents[2]
    assert list(kept_versions(part)) == [1, 2, 3]


def test_a_line_that_was_rolled_back_goes_on_beside_the_other(part: Path) -> None:
    write_version(updated(part), part)
    roll_back(part)
    write_version(updated(part), part)
    assert lineage_of(part).version == 3  # 2 is kept
    assert roll_back(part).version == 1  # what 3 was made from, not what was there before it


def test_a_version_that_is_not_kept(part: Path) -> None:
    with pytest.raises(ModelFileError, match=r"version 7 is not kept; there are versions 1$"):
        roll_back(part, to=7)
    with pytest.raises(ModelFileError, match="the version it was made from is not kept"):
        roll_back(part)
    write_version(updated(part), part)
    kept_versions(part)[1].write_bytes(b"damaged")
    before = part.read_bytes()
    with pytest.raises(ModelFileError, match="not a softpatch model"):
        roll_back(part, to=1)
    assert part.read_bytes() == before


def test_a_file_written_anew_is_kept_under_a_free_number(part: Path) -> None:
    write_version(updated(part), part)
    roll_back(part)
    detector = load(part)
    detector.threshold_ = 3.0
    detector.save(part)  # as softpatch threshold does: still version 1
    changed = part.read_bytes()
    write_version(updated(part), part)
    assert list(kept_versions(part)) == [1, 2, 3]
    assert kept_versions(part)[3].read_bytes() == changed
    assert roll_back(part, to=3) == lineage_of(kept_versions(part)[3])
    assert part.read_bytes() == changed


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", range(5))
def test_a_kill_leaves_the_old_one_or_the_new_one(
    part: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever write is the last one."""
    old = part.read_bytes()
    new = updated(part)
    left = moment
    fsync = os.fsync

    def killed(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", killed)
    try:
        write_version(new, part)
        roll_back(part)
    except Killed:
        pass
    monkeypatch.undo()
    assert lineage_of(part).version == (2 if moment in (2, 3) else 1)
    contents = {part.read_bytes(), *(file.read_bytes() for file in kept_versions(part).values())}
    assert old in contents
    if moment < 2:
        assert part.read_bytes() == old
        write_version(updated(part), part)  # again
        assert list(kept_versions(part)) == [1]
        assert kept_versions(part)[1].read_bytes() == old


def test_versions_that_cannot_be_kept(part: Path) -> None:
    new, old = updated(part), part.read_bytes()
    versions_folder(part).write_text("a file in the way")
    with pytest.raises(ModelFileError, match="versions cannot be kept"):
        write_version(new, part)
    assert part.read_bytes() == old
