"""Nothing but a file of the same kind is ever replaced."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from softpatch import SoftPatch, UsageError, load
from softpatch.export import export_model
from softpatch.storage.targets import HEAD, is_exported, is_model
from tests.cli.test_cli import Run, run

__all__ = ["run"]  # a fixture
WAYS = ("fit", "suspects", "merge", "threshold", "export", "manifest", "update", "save")


@pytest.fixture(params=WAYS)
def write(
    request: pytest.FixtureRequest, run: Run, small_model: Path, small_pictures: Path,
    small_detector: SoftPatch, tmp_path: Path,
) -> Callable[[Path], str]:  # fmt: skip
    """Everything that writes a file of a name that is given; returns how it was refused."""
    part = tmp_path / "part.softpatch"
    shutil.copy(small_model, part)
    commands = {
        "fit": ("fit", small_pictures, "-o"),
        "suspects": ("fit", small_pictures, "-o", tmp_path / "m", "--suspects"),
        "merge": ("merge", part, part, "-o"),
        "threshold": ("threshold", part, "--value", "1", "-o"),
        "manifest": ("evaluate", "--data", tmp_path, "--category", "any", "--manifest"),
        "update": ("update", part, small_pictures, "--suspects"),
    }

    def refused(target: Path) -> str:
        if request.param == "save":
            with pytest.raises(UsageError) as caught:
                small_detector.save(target)
            return str(caught.value)
        if request.param == "export":
            with pytest.raises(UsageError) as caught:
                export_model(part, target.rename(target.with_suffix(".onnx")), pictures=[])
            target.with_suffix(".onnx").rename(target)
            return str(caught.value)
        result = run(*commands[request.param], target)
        assert result.code == 2
        return result.error

    return refused


def test_other_kinds_of_files_are_refused(
    write: Callable[[Path], str], small_pictures: Path, tmp_path: Path
) -> None:
    picture, text = tmp_path / "picture", tmp_path / "text"
    shutil.copy(small_pictures / "0.png", picture)
    text.write_text(json.dumps({"decisions": {"a.png": "remove"}}))
    for target in (picture, text):
        before = target.read_bytes()
        assert "is another kind of file" in write(target)
        assert target.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
def test_links_and_what_is_no_file_are_refused(
    write: Callable[[Path], str], small_model: Path, tmp_path: Path
) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(shutil.copy(small_model, tmp_path / "linked"))
    os.mkfifo(pipe)
    assert f"is a link to {tmp_path / 'linked'}; name that file itself" in write(link)
    assert link.is_symlink()
    assert "not an ordinary file; name another file" in write(pipe)
    assert pipe.is_fifo()


def test_the_weights_of_another_file_are_kept(small_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs softpatch[export]")
    (tmp_path / "part.bin").write_bytes(b"somebody's")
    with pytest.raises(UsageError, match=r"part\.bin: is another kind of file"):
        export_model(small_model, tmp_path / "part.xml", pictures=[])


def test_model_and_suspects_are_two_files(run: Run, small_pictures: Path, tmp_path: Path) -> None:
    same = tmp_path / "sub" / ".." / "m"
    (tmp_path / "sub").mkdir()
    result = run("fit", small_pictures, "-o", tmp_path / "m", "--suspects", same)
    assert result.code == 2
    assert "cannot be both" in result.error
    assert not (tmp_path / "m").exists()


def test_an_exported_file_is_known_wherever_its_mark_is(tmp_path: Path) -> None:
    file = tmp_path / "part.onnx"
    for before in (0, HEAD - 9, HEAD - 5, HEAD - 1, HEAD, 3 * HEAD - 4):
        file.write_bytes(b"x" * before + b"softpatch" + b"x" * 5)
        assert is_exported(file)
    file.write_bytes(b"softpatc" * HEAD)
    assert not is_exported(file)


def test_the_same_kind_is_replaced(
    run: Run, small_detector: SoftPatch, small_model: Path, tmp_path: Path
) -> None:
    model, empty = tmp_path / "m", tmp_path / "empty"
    shutil.copy(small_model, model)
    empty.touch()
    for target in (model, empty):
        small_detector.save(target)
        assert is_model(target)


def test_a_damaged_model_is_replaced(small_detector: SoftPatch, tmp_path: Path) -> None:
    model = tmp_path / "m"
    small_detector.save(model)
    model.write_bytes(model.read_bytes()[:100])
    small_detector.save(model)
    assert load(model).image_names_ == small_detector.image_names_
