"""Kinds of contamination beyond drawing defective test pictures."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from softpatch.datasets import (
    KINDS,
    Category,
    Contamination,
    Sample,
    contaminate,
    largest_noise,
    open_dataset,
    read_category,
    read_manifest,
)
from softpatch.datasets.contamination.kinds import severity
from softpatch.datasets.contamination.pictures import FAULTS, badly_taken
from softpatch.errors import DatasetError, ImageError, UsageError
from softpatch.images.decode import read_image
from tests.datasets import trees

Pixels = npt.NDArray[np.uint8]

HEIGHT, WIDTH = 40, 60
CRACKS, BLOBS, TRAIN = 7, 5, 20


def square(side: int, contrast: int) -> tuple[Pixels, Pixels]:
    """Plain grey with a square of another grey, and its mask."""
    pixels = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[10 : 10 + side, 10 : 10 + side] += contrast
    mask[10 : 10 + side, 10 : 10 + side] = 255
    return pixels, mask


def save(pixels: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cracks are squares of growing side, blobs of growing contrast; one blob has no mask."""
    root = tmp_path_factory.mktemp("kinds") / "part"
    random = np.random.default_rng(0)
    for index in range(TRAIN):
        good = random.integers(60, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        save(good, root / f"train/good/{index:03d}.png")
    save(np.full((HEIGHT, WIDTH, 3), 100, np.uint8), root / "test/good/000.png")
    for kind, count in (("crack", CRACKS), ("blob", BLOBS)):
        for index in range(count):
            pixels, mask = square(*((2 + index, 50) if kind == "crack" else (6, 60 + 5 * index)))
            save(pixels, root / f"test/{kind}/{index:03d}.png")
            if (kind, index) != ("blob", 0):
                save(mask, root / f"ground_truth/{kind}/{index:03d}_mask.png")
    return root


@pytest.fixture(scope="module")
def category(folder: Path) -> Category:
    return read_category(folder)


@pytest.fixture(scope="module")
def others(folder: Path) -> list[Category]:
    """Two other products beside the first, of three and two pictures."""
    found = []
    for name, count in (("nut", 3), ("screw", 2)):
        for index in range(count):
            pixels = np.full((30, 30, 3), 20 * index, np.uint8)
            save(pixels, folder.parent / name / f"train/good/{index:03d}.png")
        save(pixels, folder.parent / name / "test/good/000.png")
        found.append(read_category(folder.parent / name))
    return found


@pytest.fixture(scope="module")
def difficulty(category: Category) -> dict[Path, float]:
    """Later pictures are harder."""
    return {sample.path: float(index) for index, sample in enumerate(category.defects)}


def drawn(
    category: Category,
    kind: str,
    others: list[Category],
    difficulty: dict[Path, float],
    noise: float = 0.2,
    seed: int = 3,
    overlap: bool = True,
) -> Contamination:
    return contaminate(
        category, noise, overlap=overlap, seed=seed, kind=kind, others=others,
        difficulty=difficulty,
    )  # fmt: skip


# --- what all kinds share ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws_as_many_as_asked_and_the_same_again(
    category: Category, others: list[Category], difficulty: dict[Path, float], kind: str
) -> None:
    one = drawn(category, kind, others, difficulty)
    assert one == drawn(category, kind, others, difficulty)
    assert one.kind == kind
    assert len(one.injected) == len(one.injected_names) == 4
    assert all(sample.defective for sample in one.injected)
    draws = {drawn(category, kind, others, difficulty, seed=seed).injected for seed in range(12)}
    assert len(draws) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_training_picture_has_its_own_name_and_can_be_read(
    category: Category, others: list[Category], difficulty: dict[Path, float], kind: str
) -> None:
    train = drawn(category, kind, others, difficulty).train
    names = [source.name for source in train]
    assert len(set(names)) == len(names) == TRAIN + 4
    assert names[:TRAIN] == [str(sample.path) for sample in category.train]
    for source in train:
        picture = read_image(source.content, source.name)
        assert torch.equal(picture, read_image(source.content, source.name))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", [0, 0.2])
def test_manifest_repeats_every_kind(
    category: Category,
    others: list[Category],
    difficulty: dict[Path, float],
    tmp_path: Path,
    kind: str,
    noise: float,
) -> None:
    one = drawn(category, kind, others, difficulty, noise)
    one.write_manifest(tmp_path / "manifest.json")
    assert str(category.folder.parent) not in (tmp_path / "manifest.json").read_text()
    again = read_manifest(tmp_path / "manifest.json", category, others)
    assert again == one
    for source, twin in zip(one.train[TRAIN:], again.train[TRAIN:], strict=True):
        assert torch.equal(read_image(source.content), read_image(twin.content))


@pytest.mark.parametrize("kind", KINDS)
def test_no_overlap_takes_out_of_the_test_set_what_was_drawn_from_it(
    category: Category, others: list[Category], difficulty: dict[Path, float], kind: str
) -> None:
    one = drawn(category, kind, others, difficulty, overlap=False)
    injected = {sample.path for sample in one.injected}
    assert one.test == tuple(s for s in category.test if s.path not in injected)
    assert drawn(category, kind, others, difficulty, overlap=True).test == category.test


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "near-duplicates"])
def test_the_largest_ratio_is_what_can_just_be_drawn(
    category: Category, others: list[Category], difficulty: dict[Path, float], kind: str
) -> None:
    most = largest_noise(category, kind, others)
    expected = {"defects": 12, "mild": 6, "one-type": 7, "other-category": 5,
                "capture-faults": 20, "difficult": 6}  # fmt: skip
    assert most == expected[kind] / TRAIN
    assert len(drawn(category, kind, others, difficulty, most).injected) == expected[kind]
    with pytest.raises(DatasetError, match=rf"^part: .*largest possible ratio is {most:g}$"):
        drawn(category, kind, others, difficulty, most + 1 / TRAIN)


def test_unknown_kind_is_a_usage_error(category: Category) -> None:
    words = "no contamination kind is called 'dust'; there are defects, mild"
    with pytest.raises(UsageError, match=words):
        contaminate(category, 0.1, overlap=True, seed=0, kind="dust")
    with pytest.raises(UsageError, match=words):
        largest_noise(category, "dust")


def test_default_kind_draws_what_it_always_did(category: Category) -> None:
    order = np.random.default_rng(5).permutation(12)[:4]
    expected = tuple(category.defects[index] for index in sorted(order))
    assert contaminate(category, 0.2, overlap=True, seed=5).injected == expected


def test_manifest_from_before_there_were_kinds_is_read(category: Category, tmp_path: Path) -> None:
    one = contaminate(category, 0.2, overlap=True, seed=5)
    path = tmp_path / "manifest.json"
    one.write_manifest(path)
    manifest = json.loads(path.read_bytes())
    del manifest["kind"]
    path.write_text(json.dumps(manifest))
    assert read_manifest(path, category) == one


def test_manifest_of_another_kind_is_refused(category: Category, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    contaminate(category, 0.2, overlap=True, seed=5).write_manifest(path)
    manifest = json.loads(path.read_bytes())
    for kind, words in (
        ("dust", "not a contamination manifest"),
        (["defects"], "not a contamination manifest"),
        ("capture-faults", "names test/"),
        ("other-category", "which none of the other categories"),
    ):
        path.write_text(json.dumps({**manifest, "kind": kind}))
        with pytest.raises(DatasetError, match=words):
            read_manifest(path, category)


# --- mild ----------------------------------------------------------------------------------------


def test_severity_is_the_share_times_the_contrast(tmp_path: Path) -> None:
    pixels, mask = square(6, 51)
    save(pixels, tmp_path / "picture.png")
    save(mask, tmp_path / "mask.png")
    sample = Sample(tmp_path / "picture.png", "crack", (tmp_path / "mask.png",))
    assert severity(sample) == pytest.approx(36 / (HEIGHT * WIDTH) * 51 / 255, rel=1e-5)


def test_severity_of_no_mask_and_of_a_whole_picture(tmp_path: Path) -> None:
    pixels, mask = square(6, 51)
    save(pixels, tmp_path / "picture.png")
    save(np.full_like(mask, 255), tmp_path / "whole.png")
    save(np.zeros_like(mask), tmp_path / "empty.png")
    picture = tmp_path / "picture.png"
    assert severity(Sample(picture, "crack")) == 0
    assert severity(Sample(picture, "crack", (tmp_path / "empty.png",))) == 0
    assert severity(Sample(picture, "crack", (tmp_path / "whole.png",))) == 1


def test_a_scratch_with_a_bright_and_a_dark_edge_is_seen(tmp_path: Path) -> None:
    """Its mean colour is that of what surrounds it."""
    pixels = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[10, 10:30], pixels[11, 10:30], mask[10:12, 10:30] = 151, 49, 255
    save(pixels, tmp_path / "picture.png")
    save(mask, tmp_path / "mask.png")
    sample = Sample(tmp_path / "picture.png", "scratch", (tmp_path / "mask.png",))
    assert severity(sample) == pytest.approx(40 / (HEIGHT * WIDTH) * 0.2, rel=1e-5)


def test_mild_draws_from_the_less_severe_half_of_those_with_a_mask(category: Category) -> None:
    """Cracks of side 2 to 8 and contrast 50; blobs of side 6 and contrast 65 to 80."""
    seen = {
        (sample.kind, sample.path.name)
        for seed in range(20)
        for sample in contaminate(category, 0.2, overlap=True, seed=seed, kind="mild").injected
    }
    # From mild to severe: cracks 0 to 4 (side 6), blob 1, blobs 2 to 4 and cracks 5 and 6.
    assert seen == {("crack", f"00{index}.png") for index in range(5)} | {("blob", "001.png")}


def test_a_mask_of_another_size_than_its_picture_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "part")
    path = tmp_path / "part" / "ground_truth" / "crack" / "003_mask.png"
    save(np.zeros((3, 3), np.uint8), path)
    with pytest.raises(DatasetError, match=f"{path}: is"):
        largest_noise(read_category(tmp_path / "part"), "mild")


# --- the others ----------------------------------------------------------------------------------


def test_one_type_draws_one_type_and_every_type_that_has_enough(category: Category) -> None:
    def types(noise: float) -> list[set[str]]:
        return [
            {s.kind for s in contaminate(
                category, noise, overlap=True, seed=seed, kind="one-type"
            ).injected}
            for seed in range(20)
        ]  # fmt: skip

    assert {frozenset(kinds) for kinds in types(0.2)} == {frozenset({"crack"}), frozenset({"blob"})}
    assert types(0.35) == [{"crack"}] * 20  # there are only 5 blobs


def test_near_duplicates_are_different_pictures_of_one_defect(category: Category) -> None:
    one = contaminate(category, 1.5, overlap=True, seed=0, kind="near-duplicates")
    assert len(one.injected) == 30
    assert len(set(one.injected)) == 1
    pictures = [read_image(source.content) for source in one.train[TRAIN:]]
    assert len({picture.numpy().tobytes() for picture in pictures}) == 30
    original = read_image(one.injected[0].path)
    assert all(picture.shape == original.shape for picture in pictures)
    assert largest_noise(category, "near-duplicates") == float("inf")
    assert largest_noise(replace(category, test=()), "near-duplicates") == 0


def test_other_category_leaves_the_category_itself_out(
    category: Category, others: list[Category]
) -> None:
    every = [others[0], category, others[1]]
    one = contaminate(category, 0.25, overlap=True, seed=0, kind="other-category", others=every)
    assert Counter(sample.kind for sample in one.injected) == {"nut": 3, "screw": 2}
    assert {s.path for s in one.injected} == {s.path for other in others for s in other.train}


def test_other_categories_may_have_the_same_folder(tmp_path: Path) -> None:
    dataset = open_dataset(trees.visa(tmp_path, "candle", "pcb1"))
    candle, pcb1 = map(dataset.read, dataset.categories)
    both = [candle, pcb1]
    one = contaminate(candle, 0.5, overlap=True, seed=0, kind="other-category", others=both)
    assert {sample.kind for sample in one.injected} == {"pcb1"}
    assert {sample.path for sample in one.injected} <= {sample.path for sample in pcb1.train}


def test_other_category_without_others_says_so(category: Category) -> None:
    with pytest.raises(DatasetError, match="needs 2 pictures of other categories of 0"):
        contaminate(category, 0.1, overlap=True, seed=0, kind="other-category")


def test_difficult_draws_from_the_harder_half(
    category: Category, difficulty: dict[Path, float]
) -> None:
    hard = {sample.path for sample in category.defects[6:]}
    seen = {
        sample.path
        for seed in range(20)
        for sample in drawn(category, "difficult", [], difficulty, seed=seed).injected
    }
    assert seen == hard


def test_difficult_leaves_unrated_pictures_out_and_needs_ratings(
    category: Category, difficulty: dict[Path, float]
) -> None:
    two = {sample.path: difficulty[sample.path] for sample in category.defects[:2]}
    [sample] = drawn(category, "difficult", [], two, noise=0.05).injected
    assert sample == category.defects[1]
    with pytest.raises(UsageError, match="needs the pictures' difficulty"):
        contaminate(category, 0.1, overlap=True, seed=0, kind="difficult")


# --- capture faults ------------------------------------------------------------------------------


def test_capture_faults_are_of_training_pictures_that_stay(category: Category) -> None:
    one = contaminate(category, 1, overlap=True, seed=0, kind="capture-faults")
    assert [sample.path for sample in one.injected] == [sample.path for sample in category.train]
    assert {sample.kind for sample in one.injected} == set(FAULTS)
    for clean, faulty in zip(one.train[:TRAIN], one.train[TRAIN:], strict=True):
        good, bad = read_image(clean.content), read_image(faulty.content)
        assert good.shape == bad.shape
        assert not torch.equal(good, bad)


def test_capture_faults_cannot_be_augmented(category: Category) -> None:
    with pytest.raises(UsageError, match="cannot be augmented"):
        contaminate(category, 0.1, overlap=True, seed=0, kind="capture-faults", augment=True)


def taken(pixels: Pixels, path: Path, fault: str, seed: int) -> npt.NDArray[np.int64]:
    save(pixels, path)
    return np.asarray(badly_taken(path, fault, seed, 0)).astype(np.int64)


@pytest.mark.parametrize("seed", range(5))
def test_exposure_is_a_gain_cut_at_white(tmp_path: Path, seed: int) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    for fault, low, high in (("over-exposure", 1.5, 2.2), ("under-exposure", 0.25, 0.5)):
        found = taken(pixels, tmp_path / "a.png", fault, seed).ravel()
        gain = found[300] / 100  # grey 100
        assert low - 0.01 <= gain <= high + 0.01
        expected = np.minimum(255, pixels.ravel() * gain)
        np.testing.assert_allclose(found, expected, atol=2)


@pytest.mark.parametrize("seed", range(5))
def test_blur_keeps_the_mean_and_loses_the_detail(tmp_path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (200, 240, 3), dtype=np.uint8)
    found = taken(pixels, tmp_path / "a.png", "blur", seed)
    assert found.mean() == pytest.approx(pixels.mean(), abs=2)
    assert found.std() < pixels.std() / 3


@pytest.mark.parametrize("seed", range(5))
def test_shift_moves_the_picture_by_a_tenth_or_so_and_mirrors_its_border(
    tmp_path: Path, seed: int
) -> None:
    pixels = np.full((100, 200, 3), 90, np.uint8)
    pixels[45:56, 95:106] = 255
    found = taken(pixels, tmp_path / "a.png", "shift", seed)
    rows, columns = np.nonzero(found[:, :, 0] == 255)
    assert len(rows) == 11 * 11
    assert 7.5 <= abs(rows.mean() - 50) <= 16.5
    assert 15.5 <= abs(columns.mean() - 100) <= 32.5
    assert set(np.unique(found)) == {90, 255}


@pytest.mark.parametrize("kind", ["capture-faults", "near-duplicates"])
def test_a_changed_picture_that_cannot_be_read_is_an_image_error(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    shutil.copytree(folder, tmp_path / "part")
    one = contaminate(read_category(tmp_path / "part"), 0.1, overlap=True, seed=0, kind=kind)
    one.injected[0].path.write_bytes(b"")
    source = one.train[TRAIN]
    with pytest.raises(ImageError, match=str(one.injected[0].path)):
        read_image(source.content, source.name)
