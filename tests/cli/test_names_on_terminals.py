"""Names may hold anything: none steers a terminal, and tables of results have them as they are."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from softpatch import UnreadableImageWarning, warn_unreadable
from softpatch.datasets import make_product_line
from softpatch.errors import ImageError
from softpatch.runtime.cli import main as runtime
from softpatch.runtime.errors import printable
from softpatch.runtime.files import csv_rows
from tests.cli.test_cli import Result, Run, run

__all__ = ["run"]  # a fixture
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such names")
SMALL = ("--resize", "64", "--crop", "64", "--device", "cpu")
ODD = "\x1b[2J\n\r\u202e\u2028:x:[red]$\x9b\udcff"
SPELLED = r"\x1b[2J\n\r\u202e\u2028:x:[red]$\x9b\udcff"


@pytest.fixture
def odd(small_pictures: Path, tmp_path: Path) -> Path:
    """A folder of such a name with pictures of such names, one of which is broken."""
    folder = tmp_path / f"{ODD}-photos"
    folder.mkdir()
    for picture in small_pictures.iterdir():
        shutil.copy(picture, folder / f"{ODD}{picture.name}")
    (folder / f"{ODD}broken.png").write_text("no picture")
    (folder / f"other.{ODD}").touch()
    return folder


@pytest.fixture
def part(small_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_model, tmp_path / f"{ODD}.softpatch"))


def assert_harmless(result: Result, *codes: int) -> None:
    assert result.code in (codes or (0,)), result.err
    said = result.out + result.err
    assert all(line.isprintable() for line in said.split("\n")), said
    assert SPELLED in "".join(said.split()), said  # titles of tables are wrapped
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["é ü", "东京", "a\u200db", "plain.png"])
def test_other_names_are_printed_as_they_are(name: str) -> None:
    assert printable(name) == name


def test_names_of_pictures_and_models(run: Run, odd: Path, part: Path, tmp_path: Path) -> None:
    out, decisions = tmp_path / f"{ODD}-out", tmp_path / f"{ODD}.json"
    named = f"{ODD}0.png"
    decisions.write_text(json.dumps({"decisions": {named: "remove", f"../{ODD}": "remove"}}))
    suspects = out / f"{ODD}.csv"
    out.mkdir()
    copy = Path(shutil.copy(part, out / f"{ODD}.softpatch"))
    assert_harmless(run("fit", odd, "-o", out / f"m{ODD}", "--suspects", suspects, *SMALL))
    names = {str(path) for path in odd.iterdir()}
    table = csv_rows(suspects.read_bytes())
    assert {row["path"] for row in table} < {name.replace("\udcff", r"\udcff") for name in names}
    assert_harmless(run("predict", part, odd, "-o", out))
    shown = json.loads((out / "predictions.json").read_text())["predictions"]
    assert {row["path"] for row in shown} < names
    for command in (
        ("audit", odd, *SMALL),
        ("audit", odd, "--exclude", decisions, *SMALL),
        ("estimate", f"no{ODD}"),
        ("clean", odd, decisions, "--dry-run"),
        ("clean", odd, decisions),
        ("clean", odd, "--undo"),
        ("update", copy, odd, "--suspects", suspects),
        ("rollback", copy),
        ("info", part),
        ("verify", part, odd),
        ("merge", part, part, "-o", out / f"{ODD}merged"),
        ("threshold", part, "--value", "2", "-o", out / f"{ODD}other"),
        ("watch", part, odd, "-o", out, "--once", "--interval", "0.01", "--patience", "0"),
        ("predict", part, odd / f"{ODD}broken.png", "-o", out),
        ("predict", f"no{ODD}", odd, "-o", out),
        ("fit", f"no{ODD}", "-o", out / "m"),
        ("datasets", odd),
        ("report", odd),
        ("demo", "--data", odd, "-o", out),
        ("clean", odd, f"no{ODD}"),
        ("serve", f"no{ODD}"),
        ("rollback", f"no{ODD}"),
    ):
        assert_harmless(run(*command), 0, 1, 2)


def test_names_of_cameras_and_categories(run: Run, odd: Path, tmp_path: Path) -> None:
    plant, out = tmp_path / "plant", tmp_path / "out"
    plant.mkdir()
    odd.rename(plant / odd.name)
    assert_harmless(run("fit-many", plant, "-o", out, *SMALL))
    assert_harmless(run("fit-many", plant, "-o", out, "--check", *SMALL))
    root, kind = tmp_path / "root", f"{ODD}kind"
    make_product_line(root / ODD, n_train=4, n_test_good=1, n_per_defect=1, image_size=64)
    for folder in ("test", "ground_truth"):
        (root / ODD / folder / "stain").rename(root / ODD / folder / kind)
    common = ("--data", root, "--method", "padim", *SMALL)
    assert_harmless(run("evaluate", "--category", ODD, "--noise", "0.5", *common))
    assert_harmless(run("datasets", root))
    assert_harmless(run("demo", "--data", root / ODD, "--noise", "0.9", "-o", out / ODD))


def test_the_runtime(odd: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(exported), str(odd), "-o", str(odd.parent / "out"), "--no-heatmaps"]
    runtime(arguments)
    assert_harmless(Result(0, *capsys.readouterr()))
    with pytest.raises(SystemExit):
        runtime([f"no{ODD}", *arguments[1:]])
    assert_harmless(Result(1, *capsys.readouterr()), 1)


def test_warnings_of_the_python_api() -> None:
    with pytest.warns(UnreadableImageWarning) as caught:
        warn_unreadable(ImageError(ODD, "no picture"))
    assert str(caught[0].message) == f"skipped {SPELLED}: no picture"


def test_colours_come_from_softpatch_alone(odd: Path, part: Path) -> None:
    """A terminal is written to with its own controls, between which names are text."""
    import pty
    import subprocess

    from tests.cli.test_cli import COMMAND

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
    subprocess.run(
        [COMMAND, "predict", f"no{ODD}.softpatch".replace("\udcff", ""), odd, "-o", part.parent],
        stdout=theirs, stderr=theirs, env=environment, timeout=300, check=False,
    )  # fmt: skip
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "\x1b[1;31merror:" in said
    assert "\x1b[2J" not in said
    assert r"no\x1b[2J\n\r\u202e\u2028:x:[red]$\x9b.softpatch" in said
