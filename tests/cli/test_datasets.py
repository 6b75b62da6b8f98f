"""``softpatch datasets``: what is listed, found and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from softpatch.datasets import LAYOUTS
from tests.cli.test_cli import process
from tests.datasets import trees


def test_without_a_root_the_layouts_are_listed() -> None:
    listed = json.loads(process("datasets", "--json").out)
    assert [layout["name"] for layout in listed] == list(LAYOUTS)
    for layout in listed:
        assert layout["tree"] == LAYOUTS[layout["name"]].tree
        assert layout["categories"] == list(LAYOUTS[layout["name"]].categories)


def test_a_layout_is_shown() -> None:
    result = process("datasets", "--show", "btad")
    assert result.code == 0
    for words in ("CC BY-SA", "https://", "as published", "01, 02, 03", LAYOUTS["btad"].tree):
        assert words in result.out


def test_what_is_found_is_counted_and_what_is_wrong_is_told(tmp_path: Path) -> None:
    trees.mvtec(tmp_path / "mvtec", "bottle", "[b]")
    (tmp_path / "mvtec" / "bottle" / "ground_truth" / "dirt" / "000_mask.png").unlink()
    for path in (tmp_path / "mvtec" / "[b]" / "train" / "good").iterdir():
        path.unlink()
    result = process("datasets", tmp_path / "mvtec", trees.btad(tmp_path / "btad"), "--json")
    assert (result.code, result.err) == (0, "")
    one, other = json.loads(result.out)
    assert (one["root"], one["layout"], other["layout"]) == (
        str(tmp_path / "mvtec"), "mvtec", "btad",
    )  # fmt: skip
    empty, bottle = one["categories"]
    assert empty["train"] is None
    assert "no pictures found" in empty["problems"][0]
    assert bottle == {
        "category": "bottle", "train": 4, "good": 2, "defective": 4, "masked": 3,
        "problems": ["1 defective picture(s) without a mask: test/dirt/000.png"],
    }  # fmt: skip
    assert [row["train"] for row in other["categories"]] == [4, 4, 4]

    shown = process("datasets", tmp_path / "mvtec")
    assert shown.code == 0
    assert "bottle: 1 defective picture(s) without a mask: test/dirt/000.png" in shown.out
    assert "[b]" in shown.out
    assert "of MVTec AD, not here: cable, capsule" in shown.out
    assert "checking" in shown.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--show", "magic"], 2, "no layout is called 'magic'; there are"),
        ([".", "--layout", "magic"], 2, "no layout is called 'magic'; there are"),
        (["none"], 1, "none: no such folder"),
        (["."], 1, "not in a known layout; expected <category>/train/good/*.png"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    result = process("datasets", *arguments, cwd=tmp_path)
    assert result.code == code
    assert words in result.error
    assert result.out == ""
