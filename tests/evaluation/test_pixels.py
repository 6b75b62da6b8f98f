"""Pixel metrics from counts: the exact ones of scores rounded down, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from softpatch.evaluation.metrics import aupro, auroc, average_precision
from softpatch.evaluation.pixels import PixelTally
from tests.reference import metrics as reference

Bools = npt.NDArray[np.bool_]
Heat = npt.NDArray[np.float32]


def tallied(masks: list[Bools], maps: list[Heat]) -> dict[str, float | None]:
    tally = PixelTally()
    for mask, heat in zip(masks, maps, strict=True):
        tally.add(mask, heat)
    return tally.metrics()


def exact(masks: list[Bools], maps: list[Any]) -> dict[str, float | None]:
    labels = np.concatenate([mask.ravel() for mask in masks])
    scores = np.concatenate([heat.ravel() for heat in maps])
    return {
        "pixel_auroc": auroc(labels, scores),
        "pixel_ap": average_precision(labels, scores),
        "aupro": aupro(masks, maps),
    }


def smooth(seed: int, pictures: int, size: int = 96) -> tuple[list[Bools], list[Heat]]:
    """Maps as detectors make them: smooth, of any level, raised around one square defect."""
    random = np.random.default_rng(seed)
    masks, maps = [], []
    for _ in range(pictures):
        mask = np.zeros((size, size), dtype=bool)
        top, left = random.integers(0, size - 20, size=2)
        mask[top : top + 15, left : left + 15] = True
        heat = ndimage.gaussian_filter(random.random((size, size)), 3) * 10
        heat += 0.5 * ndimage.gaussian_filter(mask.astype(float), 4)
        masks.append(mask)
        maps.append(heat.astype(np.float32))
    return masks, maps


@given(
    pictures=st.integers(1, 3), height=st.integers(1, 12), width=st.integers(2, 12),
    levels=st.sampled_from([1, 3, 20, 10_000]), seed=st.integers(0, 10_000),
)  # fmt: skip
@settings(max_examples=40, deadline=None, derandomize=True)
def test_scores_that_need_no_rounding_give_the_exact_metrics(
    pictures: int, height: int, width: int, levels: int, seed: int
) -> None:
    """Whole numbers up to 2^15 keep all of their bits; ties are ties."""
    random = np.random.default_rng(seed)
    masks = [random.random((height, width)) < 0.3 for _ in range(pictures)]
    masks[0][0, :2] = [True, False]
    maps = [random.integers(levels, size=mask.shape).astype(np.float32) for mask in masks]
    found = tallied(masks, maps)
    assert found == pytest.approx(exact(masks, maps), abs=1e-12)
    assert found["aupro"] == pytest.approx(reference.aupro(masks, maps))


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 700.0, 1e30])
def test_real_scores_give_the_metrics_to_a_ten_thousandth_whatever_their_scale(
    scale: float,
) -> None:
    masks, maps = smooth(seed=0, pictures=6)
    maps = [heat * np.float32(scale) for heat in maps]
    assert tallied(masks, maps) == pytest.approx(exact(masks, maps), abs=1e-4)


@given(seed=st.integers(0, 10_000), spread=st.sampled_from([1e-4, 1e-3, 1e-2, 1.0]))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_pixel_auroc_is_off_by_half_the_tied_pairs_at_most(seed: int, spread: float) -> None:
    """A bound that needs no assumption, also for scores that differ by less than a bin."""
    random = np.random.default_rng(seed)
    mask = random.random((20, 20)) < 0.3
    heat = (3 + spread * random.random(mask.shape)).astype(np.float32)
    tally = PixelTally()
    tally.add(mask, heat)
    found, true = tally.metrics()["pixel_auroc"], auroc(mask.ravel(), heat.ravel())
    tied = (tally.normals * tally.defects).sum() / (mask.sum() * (~mask).sum())
    assert found is not None
    assert true is not None
    assert abs(found - true) <= tied / 2 + 1e-12


def test_rounding_is_the_only_difference() -> None:
    """The metrics are those of the scores with 14 bits of fraction."""
    masks, maps = smooth(seed=1, pictures=2)
    rounded = [np.ldexp(np.floor(np.ldexp(f, 15)), e - 15) for f, e in map(np.frexp, maps)]
    assert tallied(masks, maps) == pytest.approx(exact(masks, rounded), abs=1e-12)


def test_order_of_the_pictures_does_not_matter() -> None:
    masks, maps = smooth(seed=2, pictures=4)
    assert tallied(masks[::-1], maps[::-1]) == pytest.approx(tallied(masks, maps), abs=1e-12)


def test_pictures_of_different_sizes_and_none_at_all() -> None:
    masks, maps = smooth(seed=3, pictures=2)
    masks[0], maps[0] = masks[0][:50, :70], maps[0][:50, :70]
    empty = np.zeros((0, 5), dtype=bool), np.zeros((0, 5), dtype=np.float32)
    assert tallied([*masks, empty[0]], [*maps, empty[1]]) == tallied(masks, maps)
    assert tallied([], []) == {"pixel_auroc": None, "pixel_ap": None, "aupro": None}


@pytest.mark.parametrize("defective", [True, False])
def test_a_single_class_has_no_value(defective: bool) -> None:
    metrics = tallied([np.full((4, 4), defective)], [np.ones((4, 4), np.float32)])
    assert metrics == {"pixel_auroc": None, "pixel_ap": None, "aupro": None}


def test_negative_zero_is_zero() -> None:
    heat = np.array([[0.0, -0.0, 1.0]], np.float32)
    assert tallied([np.array([[True, False, False]])], [heat])["pixel_auroc"] == 0.25


def test_counts_are_all_that_is_held() -> None:
    tally = PixelTally()
    masks, maps = smooth(seed=4, pictures=1)
    held = sum(array.nbytes for array in vars(tally).values())
    for _ in range(5):
        tally.add(masks[0], maps[0])
    assert sum(array.nbytes for array in vars(tally).values()) == held <= 101e6
    assert int(tally.normals.sum() + tally.defects.sum()) == 5 * maps[0].size
