"""Nothing of the user's is replaced in a folder of results, nor anything else than a folder used.

As ``test_targets``, for commands that write several files; refused before any work.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from softpatch.datasets import make_product_line
from tests.cli.test_cli import Run, run

__all__ = ["run"]  # a fixture
WRITTEN = {
    "predict": ("predictions.csv", "predictions.json", "predictions.html"),
    "audit": ("audit.csv", "audit.json", "audit.html"),
    "fit-many": ("fleet.csv", "fleet.json", "fleet.html"),
    "demo": ("figure.png", "results.json", "manifest.json", "model.softpatch"),
    "benchmark": ("setting.json", "grid.yaml", "results.csv", "scores.csv", "results.parquet"),
    "report": ("report.html", "report.md"),
}
ALSO_FOLDERS = ("watch", "move", "quarantine", "checkpoint")
FILES = ("fit", "suspects", "merge", "threshold", "export", "manifest", "update")

Command = Callable[[str], tuple[object, ...]]


@pytest.fixture
def command(small_model: Path, small_pictures: Path, tmp_path: Path) -> Command:
    """A command's arguments, without the place to write to that comes last."""
    part = Path(shutil.copy(small_model, tmp_path / "part.softpatch"))
    decisions = tmp_path / "decisions.json"
    decisions.write_text(json.dumps({"decisions": {"a.png": "remove"}}))
    fit = ("fit", small_pictures, "--resize", "64")
    commands: dict[str, tuple[object, ...]] = {}
    commands["predict"] = ("predict", part, small_pictures, "--report", "-o")
    commands["audit"] = ("audit", small_pictures, "-o")
    commands["fit-many"] = ("fit-many", small_pictures.parent, "--report", "-o")
    commands["demo"] = ("demo", "--data", tmp_path / "line", "-o")
    commands["benchmark"] = ("benchmark", "--data", tmp_path, "--methods", "padim", "-o")
    commands["report"] = ("report", tmp_path, "-o")
    commands["watch"] = ("watch", part, small_pictures, "-o")
    commands["move"] = ("watch", part, small_pictures, "-o", tmp_path / "out", "--move")
    commands["quarantine"] = ("clean", small_pictures, decisions, "--quarantine")
    commands["checkpoint"] = (*fit, "-o", tmp_path / "m", "--checkpoint")
    commands["fit"] = (*fit, "-o")
    commands["suspects"] = (*fit, "-o", tmp_path / "m", "--suspects")
    commands["merge"] = ("merge", part, part, "-o")
    commands["threshold"] = ("threshold", part, "--value", "1", "-o")
    commands["export"] = ("export", part, "--pictures", "0", "-o")
    commands["manifest"] = ("evaluate", "--data", tmp_path, "--category", "any", "--manifest")
    commands["update"] = ("update", part, small_pictures, "--suspects")
    return commands.__getitem__


@pytest.mark.parametrize(
    ("name", "file"), [(name, file) for name, files in WRITTEN.items() for file in files]
)
def test_the_users_own_files_of_these_names_are_kept(
    command: Command, run: Run, name: str, file: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    own = out / file
    if own.suffix == ".png":
        Image.new("RGB", (8, 8)).save(own)
    else:
        own.write_text("# Notes\n\nmine\n")
    before = own.read_bytes()
    result = run(*command(name), out)
    assert (result.code, result.error) == (
        2, f"{own}: is another kind of file; name another, or move it away",
    )  # fmt: skip
    assert own.read_bytes() == before
    assert [path.name for path in out.iterdir()] == [file]
    if sys.platform != "win32":
        own.rename(tmp_path / "elsewhere")
        own.symlink_to(tmp_path / "elsewhere")
        result = run(*command(name), out)
        assert result.code == 2
        assert f"is a link to {tmp_path / 'elsewhere'}" in result.error


@pytest.mark.parametrize("name", [*WRITTEN, *ALSO_FOLDERS])
def test_what_is_no_folder_is_refused(
    command: Command, run: Run, name: str, tmp_path: Path
) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("mine")
    places = {file: file, file / "below" / "it": file}
    if sys.platform != "win32":
        link.symlink_to(tmp_path / "nothing")
        places[link] = link
    for place, culprit in places.items():
        result = run(*command(name), place)
        assert (result.code, result.error) == (
            2, f"{culprit}: is no folder; name a folder to write to",
        )  # fmt: skip
    assert file.read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("name", "folder"),
    [("predict", "heatmaps"), ("demo", "heatmaps"), ("benchmark", "cells"),
     ("benchmark", "manifests"), ("benchmark", "features")],
)  # fmt: skip
def test_so_is_what_is_no_folder_in_the_results(
    command: Command, run: Run, name: str, folder: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / folder).write_text("mine")
    result = run(*command(name), out)
    assert (result.code, result.error) == (
        2, f"{out / folder}: is no folder; name a folder to write to",
    )  # fmt: skip
    assert (out / folder).read_text() == "mine"


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file_is_refused(
    command: Command, run: Run, name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    result = run(*command(name), folder)
    assert result.code == 2
    assert str(folder) in result.error
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["fit", "suspects", "merge", "threshold", "update"])
def test_a_file_in_a_folder_that_is_none_is_refused(
    command: Command, run: Run, name: str, tmp_path: Path
) -> None:
    result = run(*command(name), tmp_path / "none" / "file")
    assert result.code == 2
    assert f"{tmp_path / 'none'}: no such folder" in result.error


def test_what_these_commands_wrote_themselves_is_replaced(run: Run, tmp_path: Path) -> None:
    make_product_line(
        tmp_path / "line", n_train=4, n_test_good=1, n_per_defect=1, image_size=64
    )  # fmt: skip
    grid = ("--data", tmp_path / "line", "--methods", "padim", "--set", "resize=64")
    for command in (
        ("demo", "--data", tmp_path / "line", "--noise", "0", "-o", tmp_path / "demo"),
        ("benchmark", *grid, "-o", tmp_path / "out"),
        ("report", tmp_path / "out"),
    ):
        for _ in range(2):
            result = run(*command)
            assert result.code == 0, result.err


@pytest.mark.skipif(sys.platform == "win32", reason="names of folders")
def test_models_of_cameras_are_replaced_by_their_own_only(
    run: Run, small_pictures: Path, tmp_path: Path
) -> None:
    for suffix in ("softpatch", "drift", "fit.json"):
        models = tmp_path / suffix
        models.mkdir()
        own = models / f"{small_pictures.name}.{suffix}"
        own.write_text("mine")
        result = run("fit-many", small_pictures.parent, "-o", models, "--only", small_pictures.name)
        assert result.code == 1
        assert f"{own}: is another kind of file" in result.out + result.err
        assert own.read_text() == "mine"
        assert [path.name for path in models.iterdir()] == [own.name]
