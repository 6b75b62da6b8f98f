"""Which folders are kinds of defect, whatever they are called and wherever masks lie."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from softpatch.datasets import Category, find_problems, open_dataset
from tests.datasets import trees


def read(root: Path) -> Category:
    dataset = open_dataset(root)
    return dataset.read(dataset.categories[0])


def kinds(category: Category) -> dict[str, int]:
    return dict(Counter(sample.kind for sample in category.test))


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A category of one's own: ten good pictures, of which two test, and three cracked ones."""
    pictures = [*trees.some("part/good/{}.png", 10), *trees.some("part/crack/{}.png", 3)]
    return trees.fill(tmp_path, pictures) / "part"


@pytest.mark.parametrize("good", ["good", "Good", "GOOD", "ok", "OK", "normal", "defect-free"])
@pytest.mark.parametrize("half", ["train", "Train"])
def test_good_pictures_are_good_whatever_their_folder_is_called(
    tmp_path: Path, good: str, half: str
) -> None:
    trees.fill(
        tmp_path / "part",
        [
            *trees.some(half + "/" + good + "/{}.png", 4),
            *trees.some("test/" + good + "/{}.png", 2),
            *trees.some("test/spot/{}.png", 3),
        ],
        trees.some("Ground_Truth/Spot/{}_mask.png", 3),
    )
    category = read(tmp_path)
    assert len(category.train) == 4
    assert kinds(category) == {"good": 2, "spot": 3}
    assert all(sample.masks for sample in category.defects)
    assert not find_problems(category)


@pytest.mark.parametrize("good", ["Good", "ok", "Normal"])
def test_good_pictures_of_one_s_own_folder(tmp_path: Path, good: str) -> None:
    trees.fill(tmp_path / "part", trees.some(good + "/{}.png", 10), [])
    trees.fill(tmp_path / "part", trees.some("crack/{}.png", 3))
    category = read(tmp_path)
    assert len(category.train) == 8
    assert kinds(category) == {"good": 2, "crack": 3}


@pytest.mark.parametrize(
    "place",
    [
        "masks/crack/{}_mask.png", "mask/crack/{}.png", "Masks/Crack/{}.png", "mask/{}_mask.png",
        "Masks/{}.png", "ground_truth/crack/{}_mask.png", "Ground Truth/crack/{}.png",
        "labels/crack/{}.png", "crack/{}_mask.png",
    ],
)  # fmt: skip
def test_masks_are_found_and_are_no_defects_wherever_they_lie(part: Path, place: str) -> None:
    trees.fill(part, masks=trees.some(place, 3))
    category = read(part)
    assert kinds(category) == {"good": 2, "crack": 3}
    assert all(sample.masks for sample in category.defects)
    assert not category.unused


def test_a_loose_mask_that_could_be_of_two_pictures_is_of_none(part: Path) -> None:
    trees.fill(part, ["dent/0.png"], trees.some("mask/{}.png", 3))
    category = read(part)
    masked = {
        sample.path.parent.name + sample.path.stem for sample in category.test if sample.masks
    }
    assert masked == {"crack1", "crack2"}
    assert [path.name for path in category.unused] == ["0.png"]


@pytest.mark.parametrize(
    "leftover",
    ["results", "Results", "unlabelled", "Unlabeled", "good-quarantine", "crack-quarantine",
     "heatmaps", "to sort", "unknown"],
)  # fmt: skip
def test_leftovers_are_no_kind_of_defect_and_that_is_said(part: Path, leftover: str) -> None:
    trees.fill(part, trees.some(leftover + "/{}.png", 4))
    category = read(part)
    assert kinds(category) == {"good": 2, "crack": 3}
    said = f"1 folder(s) left out, no kind of defect: {leftover}"
    assert said in find_problems(category)


def test_a_leftover_in_a_test_half_is_no_kind_of_defect(tmp_path: Path) -> None:
    trees.fill(trees.mvtec(tmp_path, "flange"), ["flange/test/unlabelled/0.png"])
    category = read(tmp_path)
    assert kinds(category) == {"good": 2, "broken": 3, "dirt": 1}
    assert "1 folder(s) left out, no kind of defect: test/unlabelled" in find_problems(category)


def test_what_no_command_reads_is_no_kind_of_defect_either(part: Path) -> None:
    trees.fill(part, ["@eaDir/0.png", "#recycle/0.png", "put away/0.png", "crack/4.png"])
    (part / "put away" / "softpatch-quarantine.json").write_text("{}")
    (part / "crack" / "4.png").rename(part / "crack" / "4.heic")
    category = read(part)
    assert kinds(category) == {"good": 2, "crack": 3}
    [line] = [line for line in find_problems(category) if line.startswith("left out: ")]
    for words in ("(.heic)", "(#recycle, @eaDir)", "(put away)"):
        assert words in line


def test_a_test_half_without_good_pictures_says_what_it_takes_for_defects(tmp_path: Path) -> None:
    trees.fill(tmp_path / "part", ["train/good/0.png", "test/fine/0.png", "test/spot/0.png"])
    assert find_problems(read(tmp_path))[0] == (
        "no good pictures to test on: by their folders, all are defects (fine, spot)"
    )
