"""The estimate of how many pictures are bad."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gumbel_r

from softpatch.calling.contamination import (
    MOST,
    _fit,
    _Good,
    estimate_contamination,
    suspicious,
)

Floats = npt.NDArray[np.float64]


def suspicion(good: int, bad: int, seed: int = 0) -> Floats:
    """Good pictures' worst patches of many, then bad ones that stand out."""
    random = np.random.default_rng(seed)
    body = np.exp(random.normal(0, 0.3, (good, 784)).max(axis=1))
    return np.concatenate([body, random.uniform(1.5, 3, bad) * body.max()])


@given(st.lists(st.floats(0.01, 1e6), min_size=2, max_size=40))
@settings(max_examples=40, deadline=None)
def test_more_suspicion_is_never_less_confidence(values: list[float]) -> None:
    given = np.array(values)
    estimate = estimate_contamination(given)
    confidence = estimate.confidence[np.argsort(given, kind="stable")]
    assert (np.diff(confidence) >= 0).all()
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    assert estimate.standing_out <= estimate.look_first <= len(values)
    assert (estimate.rate is None) == (estimate.interval is None)
    if estimate.rate is not None and estimate.interval is not None:
        low, high = estimate.interval
        assert 0 <= low <= estimate.rate <= high <= 1
        assert estimate.rate <= MOST


def test_the_tail_is_that_of_scipys_gumbel() -> None:
    good = _Good(location=0.7, scale=1.3, rate=0.2)
    assert gumbel_r(0.7, 1.3).sf(good.tail) == pytest.approx(0.01)


@pytest.mark.parametrize("bad", [0, 100, 600])
def test_the_law_of_the_good_is_found_beside_bad_ones(bad: int) -> None:
    random = np.random.default_rng(0)
    values = gumbel_r(0.7, 0.1).rvs(1000, random_state=random)
    found = _fit(np.concatenate([values, random.uniform(2, 4, bad)]))
    assert found.location == pytest.approx(0.7, abs=0.015)
    assert found.scale == pytest.approx(0.1, rel=0.1)
    assert found.rate == pytest.approx(bad / (1000 + bad), abs=0.01)


@pytest.mark.parametrize("bad", [4, 20, 60, 130])
def test_rate_and_interval_hold_the_truth_where_bad_ones_stand_out(bad: int) -> None:
    good = 200
    truth = bad / (good + bad)
    held = 0
    for seed in range(10):
        estimate = estimate_contamination(suspicion(good, bad, seed))
        assert estimate.rate == pytest.approx(truth, abs=0.03)
        assert (estimate.confidence[good:] > 0.5).all()
        assert (estimate.confidence[:good] > 0.5).mean() <= 0.02
        assert estimate.interval is not None
        held += estimate.interval[0] <= truth <= estimate.interval[1]
    assert held >= 9


@pytest.mark.parametrize("bad", [0, 20, 60])
def test_nothing_is_said_of_bad_ones_that_look_like_good_ones(bad: int) -> None:
    """They cannot be counted, and a clean set looks as one with them does."""
    random = np.random.default_rng(bad)
    values = np.exp(gumbel_r(0.7, 0.1).rvs(200 + bad, random_state=random))
    values[200:] *= 1.1
    estimate = estimate_contamination(values)
    assert (estimate.rate, estimate.interval) == (None, None)
    assert "cannot be told" in str(estimate)
    assert estimate.look_first == math.ceil((200 + bad) / 5)


def test_scale_does_not_matter_and_the_seed_decides() -> None:
    values = suspicion(50, 5)
    one, other = estimate_contamination(values), estimate_contamination(1000 * values)
    np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-6)
    assert one.interval == pytest.approx(other.interval, abs=1e-6)
    assert one.interval == estimate_contamination(values).interval
    assert str(one).startswith("5 of 55 pictures stand out clearly; about 10.0%")


def test_of_pictures_that_are_all_alike_none_stands_out() -> None:
    estimate = estimate_contamination(np.ones(10))
    assert estimate.standing_out == 0
    assert (estimate.rate, estimate.interval) == (None, None)
    assert str(estimate).startswith("None of 10 pictures stands out; how many are bad cannot be")
    assert not suspicious(np.ones(10)).any()
