"""The MVTec layout: its files, their masks, and the error for another layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from softpatch.datasets import Sample, read_category
from softpatch.errors import DatasetError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


@pytest.fixture
def bottle_like(tmp_path: Path) -> Path:
    return touch(
        tmp_path / "thing",
        *(f"train/good/{index:03d}.png" for index in range(5)),
        "test/good/000.png", "test/good/001.png",
        "test/crack/000.png", "test/crack/001.png", "test/blob/000.JPG",
        "ground_truth/crack/000_mask.png", "ground_truth/crack/001_mask.png",
        "ground_truth/blob/000_mask.png",
        "license.txt", "readme.txt",
    )  # fmt: skip


def test_published_layout_is_read_in_order(bottle_like: Path) -> None:
    category = read_category(bottle_like)
    assert category.name == "thing"
    assert category.folder == bottle_like
    assert [sample.path.name for sample in category.train] == [f"{i:03d}.png" for i in range(5)]
    assert {sample.kind for sample in category.train} == {"good"}
    found = [(sample.kind, sample.path.name) for sample in category.test]
    assert found == [
        ("blob", "000.JPG"), ("crack", "000.png"), ("crack", "001.png"),
        ("good", "000.png"), ("good", "001.png"),
    ]  # fmt: skip
    assert [sample.defective for sample in category.test] == [True] * 3 + [False] * 2
    assert category.defects == category.test[:3]


def test_masks_go_with_their_pictures(bottle_like: Path) -> None:
    truth = bottle_like / "ground_truth"
    assert [sample.masks for sample in read_category(bottle_like).test] == [
        (truth / "blob" / "000_mask.png",),
        (truth / "crack" / "000_mask.png",),
        (truth / "crack" / "001_mask.png",),
        (),
        (),
    ]


def test_masks_without_the_suffix_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/0.png", "test/crack/7.bmp", "ground_truth/crack/7.png")
    [sample] = read_category(tmp_path).test
    assert sample.masks == (tmp_path / "ground_truth" / "crack" / "7.png",)


def test_masks_may_be_missing(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/0.png", "test/crack/0.png", "test/crack/1.png")
    touch(tmp_path, "ground_truth/crack/1_mask.png")
    assert [not sample.masks for sample in read_category(tmp_path).test] == [True, False]


def test_good_pictures_never_have_a_mask(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/0.png", "test/good/0.png", "ground_truth/good/0_mask.png")
    assert [sample.masks for sample in read_category(tmp_path).test] == [()]


def test_other_and_hidden_files_are_left_out(bottle_like: Path) -> None:
    before = read_category(bottle_like)
    touch(bottle_like, "train/good/Thumbs.db", "test/notes.txt", "test/crack/notes.txt")
    touch(bottle_like, "train/good/._000.png", "test/crack/._000.png", "test/good/.x.png")
    assert read_category(bottle_like) == before


def test_hidden_folders_are_no_defects(bottle_like: Path) -> None:
    before = read_category(bottle_like)
    touch(bottle_like, "test/.thumbnails/000.png")
    assert read_category(bottle_like) == before


def test_name_is_the_folders_even_through_a_relative_path(
    bottle_like: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bottle_like)
    assert read_category(Path()).name == "thing"


def test_samples_can_be_compared_and_collected() -> None:
    one, same = (Sample(Path("a.png"), "crack", (Path("m.png"),)) for _ in range(2))
    assert one == same
    assert len({one, same, Sample(Path("b.png"), "crack")}) == 2


# --- what is refused -----------------------------------------------------------------------------


def refusal(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read_category(folder)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(folder))
    return str(caught.value)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "none")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), "found no folders"),
        (("a.png",), "found no folders"),
        (("good/0.png", "bad/0.png"), "found bad/, good/"),
        (("train/0.png", "test/good/0.png"), "found test/, test/good/, train/"),
        (("train/good/0.png",), "found train/, train/good/"),
        (("thing/train/good/0.png", "thing/test/good/0.png"), "found thing/, thing/test/, thing/t"),
    ],
)
def test_other_layout_shows_the_tree_expected_and_the_one_found(
    tmp_path: Path, names: tuple[str, ...], found: str
) -> None:
    message = refusal(touch(tmp_path, *names))
    assert "expected train/good, test/good, test/<defect> (and ground_truth/<defect>)" in message
    assert found in message


def test_wide_tree_is_shown_in_part(tmp_path: Path) -> None:
    touch(tmp_path, *(f"class{index:02d}/0.png" for index in range(50)))
    message = refusal(tmp_path)
    assert "class00/" in message
    assert message.endswith(", ...")
    assert len(message) < 500


def test_empty_halves_are_named(tmp_path: Path) -> None:
    (tmp_path / "train" / "good").mkdir(parents=True)
    touch(tmp_path, "test/good/0.png")
    assert "train/good: no pictures found" in refusal(tmp_path)
    touch(tmp_path, "train/good/0.png")
    (tmp_path / "test" / "good" / "0.png").unlink()
    assert "test: no pictures found" in refusal(tmp_path)
