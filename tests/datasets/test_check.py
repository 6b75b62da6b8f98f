"""Each problem of a data set is found, and all of them at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from softpatch.datasets import find_problems, read_category
from tests.datasets import trees


@pytest.fixture
def flange(tmp_path: Path) -> Path:
    return trees.mvtec(tmp_path, "flange") / "flange"


def problems(folder: Path) -> list[str]:
    return find_problems(read_category(folder))


def test_nothing_wrong_is_nothing_said(flange: Path) -> None:
    assert problems(flange) == []


def test_halves_of_the_test_set_that_are_missing(flange: Path) -> None:
    shutil.rmtree(flange / "test" / "good")
    assert problems(flange) == [
        "no good pictures to test on: by their folders, all are defects (broken, dirt)"
    ]
    trees.fill(flange, ["test/good/0.png"])
    for kind in ("broken", "dirt"):
        shutil.rmtree(flange / "test" / kind)
        shutil.rmtree(flange / "ground_truth" / kind)
    assert problems(flange) == ["no defective pictures to test on"]


def test_missing_masks_are_named_or_said_to_be_missing_all(flange: Path) -> None:
    (flange / "ground_truth" / "broken" / "001_mask.png").unlink()
    assert problems(flange) == ["1 defective picture(s) without a mask: test/broken/001.png"]
    shutil.rmtree(flange / "ground_truth")
    assert problems(flange) == ["no masks: nothing can be measured by pixel"]


def test_long_lists_are_cut_and_counted(flange: Path) -> None:
    trees.fill(flange, trees.some("test/dirt/x{}.png", 8))
    [line] = problems(flange)
    assert line.startswith("8 defective picture(s) without a mask: test/dirt/x0.png, ")
    assert line.endswith("test/dirt/x4.png and 3 more")


def test_masks_that_go_with_nothing(flange: Path) -> None:
    trees.fill(flange, masks=["ground_truth/dirt/9_mask.png", "ground_truth/rust/000_mask.png"])
    assert problems(flange) == [
        "2 file(s) left out, their counterpart is missing: "
        "ground_truth/dirt/9_mask.png, ground_truth/rust/000_mask.png"
    ]


def test_masks_of_good_pictures_are_no_problem(flange: Path) -> None:
    trees.fill(flange, masks=["ground_truth/good/000_mask.png"])
    assert problems(flange) == []


def test_masks_that_cannot_be_used(flange: Path) -> None:
    truth = flange / "ground_truth" / "broken"
    trees.mask(truth / "000_mask.png", value=0)
    Image.new("L", (9, 9), 255).save(truth / "001_mask.png")
    (truth / "002_mask.png").write_bytes(b"x")
    assert problems(flange) == [
        "1 mask(s) cannot be read: ground_truth/broken/002_mask.png",
        "1 mask(s) of another size than their picture: ground_truth/broken/001_mask.png",
        "1 mask(s) of defective pictures mark no pixel: ground_truth/broken/000_mask.png",
        "1 mask(s) mark every pixel: ground_truth/broken/001_mask.png",
    ]


def test_turned_pictures_fit_their_turned_masks(flange: Path) -> None:
    path = flange / "test" / "dirt" / "000.png"
    height, width = trees.SIZE
    exif = Image.Exif()
    exif[0x0112] = 6  # lying on its side
    Image.new("RGB", (height, width)).save(path, exif=exif)
    assert problems(flange) == []


def test_unreadable_pictures_are_left_to_the_reader(flange: Path) -> None:
    (flange / "test" / "dirt" / "000.png").write_bytes(b"x")
    assert problems(flange) == []


def test_pictures_in_both_halves(flange: Path) -> None:
    train, test = flange / "train" / "good", flange / "test"
    shutil.copy(train / "001.png", test / "good" / "copy.png")
    shutil.copy(test / "broken" / "000.png", train / "slipped.png")
    assert problems(flange) == [
        "2 test picture(s) also in training, byte for byte: test/broken/000.png, test/good/copy.png"
    ]


def test_same_size_is_not_same_picture(flange: Path) -> None:
    (flange / "train" / "good" / "a.png").write_bytes(b"one")
    (flange / "test" / "good" / "a.png").write_bytes(b"two")
    assert problems(flange) == []


def test_the_real_tiles_have_four_blank_masks(real_data: Path) -> None:
    tiles = real_data / "magnetic_tile"
    if not tiles.is_dir():
        pytest.skip(f"no magnetic_tile in {real_data}")
    [line] = problems(tiles)
    assert line.startswith("4 mask(s) of defective pictures mark no pixel: ground_truth/uneven/")
