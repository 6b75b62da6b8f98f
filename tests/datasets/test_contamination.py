"""Contamination: counts, draws and manifests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from softpatch.datasets import Category, Contamination, contaminate, read_category, read_manifest
from softpatch.errors import DatasetError, ImageError, UsageError
from softpatch.images.decode import read_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 clean pictures, 4 good and 12 defective ones to test on, all different."""
    root = tmp_path_factory.mktemp("contamination") / "thing"
    counts = {"train/good": 20, "test/good": 4, "test/crack": 7, "test/blob": 5}
    random = np.random.default_rng(0)
    for place, count in counts.items():
        (root / place).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(0, 256, (24, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / place / f"{index:03d}.png")
    return root


@pytest.fixture(scope="module")
def category(folder: Path) -> Category:
    return read_category(folder)


# --- the draw ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noise", "count"), [(0, 0), (0.04, 0), (0.05, 1), (0.1, 2), (0.149, 2), (0.35, 7), (0.6, 12)]
)
def test_count_is_the_ratio_of_the_clean_pictures_rounded_down(
    category: Category, noise: float, count: int
) -> None:
    drawn = contaminate(category, noise, overlap=True, seed=0)
    assert len(drawn.injected) == len(set(drawn.injected)) == count
    assert set(drawn.injected) <= set(category.defects)


def test_rounding_errors_do_not_cost_a_picture(category: Category) -> None:
    """0.29 * 100 is 28.999999999999996, and so are others."""
    for percent in range(0, 61, 5):
        drawn = contaminate(category, percent / 100, overlap=True, seed=0)
        assert len(drawn.injected) == percent * 20 // 100


def test_overlap_keeps_the_test_set_whole(category: Category) -> None:
    drawn = contaminate(category, 0.2, overlap=True, seed=1)
    assert drawn.policy == "overlap"
    assert drawn.test == category.test


def test_no_overlap_takes_the_injected_pictures_out_of_the_test_set(category: Category) -> None:
    drawn = contaminate(category, 0.2, overlap=False, seed=1)
    assert drawn.policy == "no-overlap"
    assert len(drawn.test) == len(category.test) - 4
    assert not set(drawn.test) & set(drawn.injected)
    assert set(drawn.test) | set(drawn.injected) == set(category.test)


def test_training_set_is_the_clean_pictures_and_then_the_injected(category: Category) -> None:
    drawn = contaminate(category, 0.2, overlap=True, seed=1)
    names = [source.name for source in drawn.train]
    clean = [str(sample.path) for sample in category.train]
    assert names == clean + [str(sample.path) for sample in drawn.injected]
    for source in drawn.train:
        assert torch.equal(read_image(source.content), read_image(source.name))


def test_seed_decides_the_draw_and_the_policy_does_not(category: Category) -> None:
    draws = [contaminate(category, 0.3, overlap=True, seed=seed).injected for seed in range(10)]
    again = [contaminate(category, 0.3, overlap=False, seed=seed).injected for seed in range(10)]
    assert draws == again
    assert len(set(draws)) > 5
    assert {sample for draw in draws for sample in draw} == set(category.defects)


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf")])
def test_impossible_ratio_is_a_usage_error(category: Category, noise: float) -> None:
    with pytest.raises(UsageError, match="noise must lie in"):
        contaminate(category, noise, overlap=True, seed=0)


@pytest.mark.parametrize("noise", [0.65, 1, 40])
def test_too_much_names_the_largest_ratio(category: Category, noise: float) -> None:
    with pytest.raises(DatasetError, match=r"^thing: .*the largest possible ratio is 0\.6$"):
        contaminate(category, noise, overlap=True, seed=0)
    assert len(contaminate(category, 0.6, overlap=True, seed=0).injected) == 12


# --- the manifest --------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize("noise", [0, 0.25])
def test_manifest_repeats_the_draw(
    category: Category, tmp_path: Path, overlap: bool, augment: bool, noise: float
) -> None:
    drawn = contaminate(category, noise, overlap=overlap, seed=7, augment=augment)
    drawn.write_manifest(tmp_path / "manifest.json")
    assert read_manifest(tmp_path / "manifest.json", category) == drawn


def test_manifest_holds_the_same_bytes_and_no_absolute_path(
    category: Category, tmp_path: Path
) -> None:
    for name in ("one.json", "two.json"):
        contaminate(category, 0.25, overlap=True, seed=7).write_manifest(tmp_path / name)
    content = (tmp_path / "one.json").read_bytes()
    assert content == (tmp_path / "two.json").read_bytes()
    assert str(category.folder).encode() not in content
    manifest = json.loads(content)
    assert len(manifest["injected"]) == 5
    for name in manifest["injected"]:
        assert (category.folder / name).is_file()


def test_manifest_works_where_the_data_lies_elsewhere(
    category: Category, folder: Path, tmp_path: Path
) -> None:
    drawn = contaminate(category, 0.25, overlap=True, seed=7)
    drawn.write_manifest(tmp_path / "manifest.json")
    moved = tmp_path / "moved"
    moved.symlink_to(folder, target_is_directory=True)
    again = read_manifest(tmp_path / "manifest.json", read_category(moved))
    assert [s.path.relative_to(moved) for s in again.injected] == [
        s.path.relative_to(folder) for s in drawn.injected
    ]


def damage(category: Category, path: Path, **changes: Any) -> Path:
    contaminate(category, 0.25, overlap=True, seed=7).write_manifest(path)
    manifest = {**json.loads(path.read_bytes()), **changes}
    path.write_text(json.dumps(manifest))
    return path


def manifest_refusal(path: Path, category: Category) -> str:
    with pytest.raises(DatasetError) as caught:
        read_manifest(path, category)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy": "sideways"}, "not a contamination manifest"),
        ({"policy": ["overlap"]}, "not a contamination manifest"),
        ({"noise": "much"}, "not a contamination manifest"),
        ({"noise": None}, "not a contamination manifest"),
        ({"seed": "x"}, "not a contamination manifest"),
        ({"injected": None}, "not a contamination manifest"),
        ({"injected": 5}, "not a contamination manifest"),
        ({"injected": [5]}, ""),
        ({"injected": [["test/crack/000.png"]]}, ""),
        ({"injected": ["test/crack/999.png"]}, "names test/crack/999.png, which"),
        ({"injected": ["../thing/test/crack/000.png"]}, "names ../thing"),
        ({"injected": ["test/good/000.png"]}, "names test/good/000.png"),
        ({"injected": ["test/crack/000.png"] * 2}, ""),
        ({"n_clean": 21}, "was drawn for 21 clean pictures"),
    ],
)
def test_damaged_or_foreign_manifest_is_refused(
    category: Category, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = damage(category, tmp_path / "manifest.json", **changes)
    assert words in manifest_refusal(path, category)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"[]", b"{}", b"null", b"3", b"\xff\xfe\x00", b"[" * 100_000]
)
def test_file_that_is_no_manifest_is_refused(
    category: Category, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    assert "not a contamination manifest" in manifest_refusal(path, category)


def test_missing_manifest_is_named(category: Category, tmp_path: Path) -> None:
    assert "no such manifest" in manifest_refusal(tmp_path / "none.json", category)


# --- augmentation --------------------------------------------------------------------------------


def augmented(category: Category, seed: int) -> Contamination:
    return contaminate(category, 0.3, overlap=True, seed=seed, augment=True)


def injected_pictures(drawn: Contamination) -> list[torch.Tensor]:
    return [read_image(source.content) for source in drawn.train[len(drawn.category.train) :]]


def test_augmentation_changes_the_injected_pictures_only(category: Category) -> None:
    drawn = augmented(category, 3)
    for source in drawn.train[:20]:
        assert torch.equal(read_image(source.content), read_image(source.name))
    for sample, picture in zip(drawn.injected, injected_pictures(drawn), strict=True):
        original = read_image(sample.path)
        assert picture.shape == original.shape
        assert not torch.equal(picture, original)


def test_augmentation_is_the_same_every_time_and_in_any_order(category: Category) -> None:
    first = injected_pictures(augmented(category, 3))
    again = [read_image(source.content) for source in reversed(augmented(category, 3).train[20:])]
    assert all(map(torch.equal, first, reversed(again)))


def test_augmentation_differs_from_picture_to_picture_and_seed_to_seed(tmp_path: Path) -> None:
    """On copies of one picture every difference is the augmentation's."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    for place in ("train/good/0", "train/good/1", "test/crack/0", "test/crack/1"):
        path = tmp_path / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    copies = read_category(tmp_path)
    pictures = [
        picture.numpy().tobytes()
        for seed in range(3)
        for picture in injected_pictures(
            contaminate(copies, 1, overlap=True, seed=seed, augment=True)
        )
    ]
    assert len(set(pictures)) == 6


def test_augmentation_shows_no_empty_border(tmp_path: Path) -> None:
    """Borders are mirrored: a plain picture stays plain however it is turned."""
    for place in ("train/good/0", "test/crack/0"):
        path = tmp_path / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((31, 47, 3), 200, np.uint8)).save(path)
    plain = read_category(tmp_path)
    for seed in range(20):
        [picture] = injected_pictures(contaminate(plain, 1, overlap=True, seed=seed, augment=True))
        assert (picture - 200 / 255).abs().max() < 0.01


def test_augmentation_moves_little(category: Category, tmp_path: Path) -> None:
    """A bright dot in the middle stays within the shift and flip of 5 % and a pixel."""
    pixels = np.zeros((101, 101, 3), np.uint8)
    pixels[49:52, 49:52] = 255
    for place in ("train/good/0", "test/crack/0"):
        path = tmp_path / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    dot = read_category(tmp_path)
    for seed in range(20):
        [picture] = injected_pictures(contaminate(dot, 1, overlap=True, seed=seed, augment=True))
        brightest = np.array(divmod(int(picture[0].argmax()), 101))
        assert np.abs(brightest - 50).max() <= 101 * 0.05 * 1.06 + 2


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_augmented_picture_that_cannot_be_read_is_an_image_error(
    folder: Path, tmp_path: Path, content: bytes
) -> None:
    copied = tmp_path / "thing"
    shutil.copytree(folder, copied)
    drawn = contaminate(read_category(copied), 0.3, overlap=True, seed=0, augment=True)
    drawn.injected[0].path.write_bytes(content)
    source = drawn.train[20]
    with pytest.raises(ImageError, match=str(drawn.injected[0].path)):
        read_image(source.content, source.name)


def test_changed_pictures_of_a_camera_of_twelve_bits_are_as_bright_as_the_others(
    tmp_path: Path,
) -> None:
    for kind, count in (("train/good", 6), ("test/good", 2), ("test/bad", 4)):
        folder = tmp_path / "part" / kind
        folder.mkdir(parents=True)
        for seed in range(count):
            values = np.random.default_rng(seed).normal(2000, 300, (32, 48)).clip(0, 4095)
            Image.fromarray(values.astype(np.uint16)).save(folder / f"{seed}.png")
    drawn = contaminate(read_category(tmp_path / "part"), 0.3, overlap=True, seed=0, augment=True)
    *_, made = drawn.train
    assert read_image(made.content).mean() == pytest.approx(2000 / 4095, rel=0.02)
