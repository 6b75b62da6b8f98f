"""Opening a root: its layout, and the error if it has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from softpatch.datasets import LAYOUTS, open_dataset, read_category
from softpatch.errors import DatasetError, UsageError
from tests.datasets import trees


def refusal(root: Path, layout: str | None = None) -> str:
    with pytest.raises(DatasetError) as caught:
        open_dataset(root, layout)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(root))
    return str(caught.value)


def test_parts_of_any_name_are_recognised(tmp_path: Path) -> None:
    dataset = open_dataset(trees.mvtec(tmp_path, "flange", "magnetic_tile"))
    assert dataset.layout.name == "mvtec"
    assert dataset.categories == ("flange", "magnetic_tile")
    assert dataset.read("flange") == read_category(tmp_path / "flange")


def test_a_part_of_ones_own_does_not_make_it_mpdd(tmp_path: Path) -> None:
    assert open_dataset(trees.mvtec(tmp_path, "tubes", "flange")).layout.name == "mvtec"


def test_the_real_sets_are_recognised(real_data: Path) -> None:
    dataset = open_dataset(real_data)
    assert dataset.layout.name == "mvtec"
    assert {"magnetic_tile", "mvtec_bottle"} <= set(dataset.categories)
    bottle = dataset.read("mvtec_bottle")
    assert (len(bottle.train), len(bottle.test), len(bottle.defects)) == (209, 83, 63)
    assert all(sample.masks for sample in bottle.defects)


@pytest.mark.parametrize("layout", [None, "mvtec"])
def test_a_category_is_a_root_too(layout: str | None, tmp_path: Path) -> None:
    trees.mvtec(tmp_path, "flange", "tubes")
    dataset = open_dataset(tmp_path / "flange", layout)
    assert dataset.categories == ("flange",)
    assert dataset.read("flange") == read_category(tmp_path / "flange")


def test_name_is_the_folders_even_through_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trees.mvtec(tmp_path, "flange") / "flange")
    assert open_dataset(Path()).read("flange").name == "flange"


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    trees.mvtec(tmp_path, "flange", "hub")
    with pytest.raises(UsageError, match="no layout is called 'magic'; there are mvtec_3d, mvtec_"):
        open_dataset(tmp_path, "magic")
    with pytest.raises(DatasetError, match="called 'rim' in layout mvtec; there are flange, hub"):
        open_dataset(tmp_path).read("rim")


def test_missing_root_is_named(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    assert "no such folder" in refusal(tmp_path / "file")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wrong_root_shows_the_tree_expected_and_the_tree_found(layout: str, tmp_path: Path) -> None:
    trees.fill(tmp_path, ["left/deep/a.png", "right/b.png"])
    message = refusal(tmp_path, layout)
    assert f"not in layout {layout}; expected {LAYOUTS[layout].paths}" in message
    assert message.endswith("found left/, left/deep/, right/")


def test_wrong_root_without_a_layout_names_the_usual_one(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    assert "not in a known layout; expected <category>/train/good/*.png, " in message
    assert "softpatch datasets lists them" in message
    assert "found no folders" in message


def test_a_root_one_level_off_is_told_where_to_look(tmp_path: Path) -> None:
    trees.btad(tmp_path / "BTech_Dataset_transformed")
    message = refusal(tmp_path)
    assert message.endswith(f"; {tmp_path / 'BTech_Dataset_transformed'} is in layout btad")
    trees.visa(tmp_path / "visa", "candle")
    message = refusal(tmp_path / "visa" / "candle")
    assert message.endswith(f"; {tmp_path / 'visa'} is in layout visa")


def test_another_layout_than_said_is_told(tmp_path: Path) -> None:
    assert refusal(trees.btad(tmp_path), "mvtec").endswith(f"; {tmp_path} is in layout btad")


def test_damage_beside_the_root_does_not_hide_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv" / "1cls.csv").write_text("nonsense")
    (tmp_path / "other").mkdir()
    assert refusal(tmp_path / "other").endswith("found no folders")


def test_locked_folders_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.mvtec(tmp_path, "flange", "lost+found")
    monkeypatch.setattr("os.access", lambda path, mode: path.name != "lost+found")
    assert open_dataset(tmp_path).categories == ("flange",)


def test_several_layouts_side_by_side_are_not_guessed(tmp_path: Path) -> None:
    trees.btad(tmp_path)
    trees.mvtec(tmp_path, "flange")
    message = refusal(tmp_path)
    assert "holds several layouts (mvtec: flange; btad: 01, 02, 03); say which" in message
    assert open_dataset(tmp_path, "btad").categories == ("01", "02", "03")
    assert open_dataset(tmp_path, "mvtec").categories == ("flange",)
