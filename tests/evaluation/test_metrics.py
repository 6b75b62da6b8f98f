"""Metrics equal scikit-learn, a naive AUPRO, and values known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from softpatch.evaluation.metrics import aupro, auroc, average_precision, f1_max
from tests.reference import metrics as reference

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Metric = Callable[[Bools, Floats], float | None]


def random_labels(count: int, seed: int, levels: int) -> tuple[Bools, Floats]:
    """Few levels make many ties."""
    random = np.random.default_rng(seed)
    labels = random.random(count) < 0.3
    labels[:2] = [True, False]
    return labels, random.integers(levels, size=count) / levels + 0.3 * labels


def random_masks(
    pictures: int, size: tuple[int, int], seed: int, levels: int
) -> tuple[list[Bools], list[Floats]]:
    random = np.random.default_rng(seed)
    masks = [random.random(size) < 0.25 for _ in range(pictures)]
    maps = [random.integers(levels, size=size) / levels + 0.2 * mask for mask in masks]
    return masks, maps


def one_defect(heat: Any) -> tuple[list[Bools], list[Floats]]:
    """Ten pixels in a row, the first two defective, with this map."""
    mask = np.zeros((1, 10), dtype=bool)
    mask[0, :2] = True
    return [mask], [np.asarray(heat, dtype=np.float64).reshape(1, 10)]


@pytest.mark.parametrize("levels", [2, 10, 10**6])
@pytest.mark.parametrize("count", [2, 50, 500])
def test_equal_scikit_learn(count: int, levels: int) -> None:
    labels, scores = random_labels(count, seed=count, levels=levels)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(
        average_precision_score(labels, scores)
    )


@pytest.mark.parametrize("levels", [2, 10, 10**6])
def test_f1_max_equals_the_best_of_all_thresholds(levels: int) -> None:
    labels, scores = random_labels(60, seed=1, levels=levels)
    assert f1_max(labels, scores) == pytest.approx(
        reference.f1_max(labels.tolist(), scores.tolist())
    )


@pytest.mark.parametrize("metric", [auroc, average_precision, f1_max])
def test_a_perfect_ranking_scores_one(metric: Metric) -> None:
    labels = np.array([False, True, False, True])
    assert metric(labels, np.array([0.1, 0.7, 0.2, 0.6])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("metric", "value"), [(auroc, 0.5), (average_precision, 0.25), (f1_max, 0.4)]
)
def test_a_constant_score_knows_nothing(metric: Metric, value: float) -> None:
    labels = np.array([True, False, False, False] * 5)
    assert metric(labels, np.zeros(20)) == pytest.approx(value)


def test_a_reversed_ranking_has_auroc_zero() -> None:
    assert auroc(np.array([True, False]), np.array([0.1, 0.2])) == 0


@pytest.mark.parametrize("metric", [auroc, average_precision, f1_max])
@pytest.mark.parametrize("label", [True, False])
def test_a_single_class_has_no_value(metric: Metric, label: bool) -> None:
    assert metric(np.array([label] * 4), np.arange(4.0)) is None


@given(
    pictures=st.integers(1, 3),
    height=st.integers(1, 12),
    width=st.integers(2, 12),
    levels=st.sampled_from([1, 3, 20, 10**6]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_aupro_equals_the_naive_one(
    pictures: int, height: int, width: int, levels: int, seed: int
) -> None:
    masks, maps = random_masks(pictures, (height, width), seed, levels)
    masks[0][0, :2] = [True, False]
    assert aupro(masks, maps) == pytest.approx(reference.aupro(masks, maps))


@pytest.mark.parametrize(
    ("heat", "value"),
    [
        pytest.param([1, 1] + 8 * [0], 1.0, id="perfect"),
        pytest.param([2, 1] + 8 * [0], 1.0, id="perfect-in-two-steps"),
        # One step from (0, 0) to (1, 1): the area below 0.3 is 0.3^2 / 2.
        pytest.param(10 * [7], 0.15, id="constant"),
        pytest.param(2 * [0] + 8 * [1], 0.0, id="reversed"),
        # Half the region at once; the other half only with all clean pixels at (1, 1).
        pytest.param([1] + 9 * [0], (0.5 + 0.65) / 2, id="half"),
        # Two clean pixels first, 0 up to 0.25; then all of the region.
        pytest.param([1, 1, 2, 2] + 6 * [0], 0.05 / 0.3, id="late"),
        # Region and two clean pixels together: a straight line to (0.25, 1), then 1.
        pytest.param(4 * [1] + 6 * [0], (0.125 + 0.05) / 0.3, id="tied"),
    ],
)
def test_aupro_in_closed_form(heat: list[int], value: float) -> None:
    masks, maps = one_defect(heat)
    assert aupro(masks, maps) == pytest.approx(value)


def test_every_region_counts_the_same_whatever_its_size() -> None:
    """Found: the large region, one of 36 pixels; missed: the small one."""
    mask = np.zeros((10, 10), dtype=bool)
    mask[:6, :6] = True
    mask[9, 9] = True
    heat = mask.astype(np.float64)
    heat[9, 9] = -1.0
    # 0.5 at no false positives; the small region comes after every clean pixel.
    assert aupro([mask], [heat]) == pytest.approx(0.5)


def test_diagonal_neighbours_are_one_region() -> None:
    diagonal = np.eye(3, 6, dtype=bool)
    heat = np.zeros((3, 6))
    heat[0, 0] = 1.0  # one of three pixels of one region
    # From 1/3 at 0 to 1 at 1: at 0.3 the line has reached 1/3 + 0.3 * 2/3.
    assert aupro([diagonal], [heat]) == pytest.approx(1 / 3 + 0.1)


def test_regions_of_different_pictures_are_not_joined() -> None:
    mask = np.array([[True, False, False]])
    found, missed = np.array([[2.0, 0.0, 0.0]]), np.array([[-1.0, 0.0, 0.0]])
    assert aupro([mask, mask], [found, missed]) == pytest.approx(0.5)


def test_scale_and_shift_do_not_matter() -> None:
    masks, maps = random_masks(2, (8, 9), seed=0, levels=50)
    maps = [np.round(50 * heat) for heat in maps]  # whole numbers, so that ties stay ties
    assert aupro(masks, [3 * heat - 1 for heat in maps]) == pytest.approx(aupro(masks, maps))


@pytest.mark.parametrize("defect", [True, False])
def test_aupro_of_a_single_class_has_no_value(defect: bool) -> None:
    assert aupro([np.full((3, 3), defect)], [np.arange(9.0).reshape(3, 3)]) is None
