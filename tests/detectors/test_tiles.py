"""Tiles and the region of interest, through the detectors' public face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

import softpatch
from softpatch import DatasetError, PaDiM, PatchCore, RandomEnsemble, SoftPatch, UsageError
from softpatch.detectors import Detector
from softpatch.images.masks import OddMaskWarning
from softpatch.images.sources import ignore_unreadable

Picture = npt.NDArray[np.uint8]

SMALL: dict[str, Any] = {"resize": 64, "crop": 48, "dimension": 64, "device": "cpu"}
TILED: dict[str, Any] = {**SMALL, "tile": 64}
BANKS = [SoftPatch, PatchCore]

pytestmark = pytest.mark.usefixtures("one_backbone")


def part(index: int, height: int = 150, width: int = 200) -> Picture:
    """A part with a grid of lines, the same in every picture but for noise."""
    random = np.random.default_rng(index)
    base = 120 + 40 * np.sin(np.arange(width) / 7)[None, :, None] * np.ones((height, 1, 3))
    return np.clip(base + random.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


def damaged(picture: Picture, top: int, left: int, size: int = 24) -> Picture:
    bad = picture.copy()
    bad[top : top + size, left : left + size] = [250, 20, 20]
    return bad


def mask(height: int, width: int, rows: slice, columns: slice) -> Picture:
    region = np.zeros((height, width), np.uint8)
    region[rows, columns] = 255
    return region


@pytest.fixture(scope="module")
def parts() -> list[Picture]:
    return [part(index) for index in range(8)]


# --- tiles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*BANKS, RandomEnsemble])
def test_pictures_that_fit_a_tile_score_as_without(
    kind: type[Detector], parts: list[Picture]
) -> None:
    plain = kind(**SMALL).fit(parts)
    tiled = kind(**SMALL, tile=200).fit(parts)
    bad = damaged(parts[0], 60, 90)
    assert tiled.predict(bad).score == plain.predict(bad).score
    np.testing.assert_array_equal(tiled.predict(bad).anomaly_map, plain.predict(bad).anomaly_map)
    assert tiled.normal_limit_ == plain.normal_limit_


@pytest.mark.parametrize("kind", [*BANKS, RandomEnsemble])
@pytest.mark.parametrize("place", [(10, 10), (60, 100), (115, 165)])
def test_a_small_defect_is_found_in_its_place(
    kind: type[Detector], place: tuple[int, int], parts: list[Picture]
) -> None:
    model = kind(**TILED).fit(parts)
    good, bad = model.predict(part(99)), model.predict(damaged(part(99), *place))
    assert bad.score > 3 * good.score
    left, top, right, bottom = bad.box
    h, w = bad.anomaly_map.shape
    row, column = np.unravel_index(bad.anomaly_map.argmax(), (h, w))
    assert top + (row + 0.5) / h * (bottom - top) == pytest.approx(place[0] + 12, abs=14)
    assert left + (column + 0.5) / w * (right - left) == pytest.approx(place[1] + 12, abs=14)


@pytest.mark.parametrize("reweight", [False, True])
def test_the_worst_view_speaks_for_the_picture(reweight: bool, parts: list[Picture]) -> None:
    model = PatchCore(**TILED, reweight=reweight).fit(parts)
    bad = damaged(parts[3], 100, 20)
    whole = model.predict(bad).score
    layout = model.preprocessing.layout(*bad.shape[:2])
    alone = [model.predict(bad[rows, columns]).score for rows, columns in layout.tiles]
    assert whole == pytest.approx(max(alone), rel=1e-4)


@pytest.mark.parametrize("batch_size", [3, 50])
def test_batches_do_not_matter(batch_size: int, parts: list[Picture]) -> None:
    model = SoftPatch(**TILED).fit(parts)
    other = SoftPatch(**TILED, batch_size=batch_size).fit(parts)
    assert other.normal_limit_ == pytest.approx(model.normal_limit_, rel=1e-3)
    for one, two in zip(model.predict(parts), other.predict(parts), strict=True):
        assert one.score == pytest.approx(two.score, rel=1e-3, abs=1e-6)


def test_a_small_defect_makes_a_large_training_picture_suspicious() -> None:
    parts = [part(index) for index in range(10)]
    parts[4] = damaged(parts[4], 60, 100, size=12)
    assert SoftPatch(**TILED).fit(parts).suspects()[0][0] == "image 4"


def test_pictures_of_different_sizes_share_a_bank() -> None:
    parts = [part(index, 100 + 20 * index, 200 - 15 * index) for index in range(6)]
    parts[2] = damaged(parts[2], 40, 40)
    model = SoftPatch(**TILED).fit(parts)
    assert len(model.suspicion_) == len(model.image_names_) == 6
    assert model.suspects()[0][0] == "image 2"
    assert model.predict(part(50, 64, 500)).anomaly_map.shape[1] > 400


def test_tiles_are_kept_with_the_model(tmp_path: Path, parts: list[Picture]) -> None:
    model = SoftPatch(**TILED).fit(parts)
    model.save(tmp_path / "tiled.softpatch")
    loaded = softpatch.load(tmp_path / "tiled.softpatch", device="cpu")
    bad = damaged(parts[0], 60, 90)
    assert loaded.predict(bad).score == model.predict(bad).score
    assert loaded.features.tile == (64, 64)


def test_padim_takes_no_tiles() -> None:
    with pytest.raises(UsageError, match="takes no tiles"):
        PaDiM(tile=64)


def test_a_tile_too_small_is_an_error(parts: list[Picture]) -> None:
    with pytest.raises(UsageError, match="tile must be 32 to 1,000,000 pixels a side"):
        SoftPatch(**SMALL, tile=16).fit(parts)


# --- region of interest --------------------------------------------------------------------------

LEFT_HALF = mask(150, 200, slice(None), slice(0, 100))


@pytest.mark.parametrize("tile", [None, 64])
@pytest.mark.parametrize("kind", BANKS)
def test_what_lies_outside_the_region_is_not_seen(
    kind: type[Detector], tile: int | None, parts: list[Picture]
) -> None:
    # Defects far enough from the region that no patch inside has them in its field of view.
    model = kind(**SMALL, tile=tile, roi=LEFT_HALF).fit(parts)
    good = model.predict(part(99))
    outside, inside = (model.predict(damaged(part(99), 60, left)) for left in (174, 40))
    assert inside.score > 3 * good.score
    assert outside.score < 1.5 * good.score
    left, _, right, _ = good.box
    edge = round((100 - left) / (right - left) * good.anomaly_map.shape[1])
    for prediction in (good, outside, inside):
        assert float(prediction.anomaly_map[:, edge + 1 :].max()) == 0
    assert float(good.anomaly_map[:, : edge - 1].min()) > 0


def test_the_region_is_learned_from_alone(parts: list[Picture]) -> None:
    everywhere = SoftPatch(**SMALL, coreset_ratio=1, denoise=False).fit(parts)
    half = SoftPatch(**SMALL, coreset_ratio=1, denoise=False, roi=LEFT_HALF).fit(parts)
    assert len(half.bank_) == pytest.approx(len(everywhere.bank_) / 2, rel=0.2)


def test_a_white_mask_changes_nothing(parts: list[Picture]) -> None:
    for kind in (SoftPatch, PatchCore, PaDiM):
        plain = kind(**SMALL).fit(parts)
        with pytest.warns(OddMaskWarning, match="marks everything"):
            masked = kind(**SMALL, roi=np.full((10, 10), 255, np.uint8)).fit(parts)
        bad = damaged(parts[0], 60, 90)
        assert masked.predict(bad).score == pytest.approx(plain.predict(bad).score, rel=1e-5)
        np.testing.assert_allclose(
            masked.predict(bad).anomaly_map, plain.predict(bad).anomaly_map, rtol=1e-4
        )


@pytest.mark.parametrize("kind", [SoftPatch, PatchCore, PaDiM, RandomEnsemble])
def test_the_region_is_kept_with_the_model(
    kind: type[Detector], tmp_path: Path, parts: list[Picture]
) -> None:
    Image.fromarray(LEFT_HALF).save(tmp_path / "mask.png")
    model = kind(**SMALL, roi=tmp_path / "mask.png").fit(parts)
    model.save(tmp_path / "half.softpatch")
    loaded = softpatch.load(tmp_path / "half.softpatch", device="cpu")
    for picture in (parts[0], damaged(parts[0], 60, 40)):
        one, two = model.predict(picture), loaded.predict(picture)
        assert one.score == two.score
        np.testing.assert_array_equal(one.anomaly_map, two.anomaly_map)


def test_a_black_mask_is_an_error() -> None:
    with pytest.raises(UsageError, match="black all over"):
        SoftPatch(roi=np.zeros((10, 10), np.uint8))


def test_a_region_smaller_than_any_patch_is_an_error(parts: list[Picture]) -> None:
    speck = mask(150, 200, slice(70, 72), slice(90, 92))
    with pytest.raises(UsageError, match="image 0: the region of interest covers no patch"):
        SoftPatch(**SMALL, roi=speck).fit(parts, on_unreadable=ignore_unreadable)


def test_pictures_of_another_size_end_no_fit_with_tiles_and_a_region(parts: list[Picture]) -> None:
    """A thumbnail, in which the region covers no patch, and another camera's."""
    spot = mask(150, 200, slice(60, 80), slice(90, 102))
    tiny, other = (np.ascontiguousarray(parts[0][::step, ::step]) for step in (8, 2))
    options: dict[str, Any] = {**SMALL, "tile": 64, "resize": 64, "crop": 64, "roi": spot}
    skipped: list[softpatch.ImageError] = []
    model = SoftPatch(**options).fit([tiny, other, *parts], on_unreadable=skipped.append)
    assert [str(error)[:30] for error in skipped] == [
        "image 0: the region of interes", "image 1: of another size than ",
    ]  # fmt: skip
    found = list(model.predict([tiny, other, *parts], on_unreadable=ignore_unreadable))
    expected = SoftPatch(**options).fit(parts).predict([other, *parts])
    assert [one.score for one in found] == pytest.approx([one.score for one in expected])
    with pytest.raises(softpatch.ImageError, match="covers no patch"):
        model.predict(tiny)


def test_a_mask_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(softpatch.ImageError, match="no such file"):
        SoftPatch(roi=tmp_path / "none.png")


def test_a_region_needs_tiled_pictures_of_one_size() -> None:
    parts = [part(0), part(1, 250, 300)]
    with pytest.raises(DatasetError, match="of one size"):
        SoftPatch(**TILED, roi=LEFT_HALF).fit(parts)


def test_without_tiles_the_region_is_stretched_over_every_picture() -> None:
    parts = [part(index, 100 + 20 * index, 200) for index in range(4)]
    model = SoftPatch(**SMALL, roi=LEFT_HALF).fit(parts)
    assert torch.isfinite(model.bank_.vectors).all()
