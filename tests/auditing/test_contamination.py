"""The estimate of how many pictures are bad."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from softpatch.auditing.contamination import _descending, estimate_contamination


def suspicion(good: int, bad: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Log-normal good pictures, then bad ones that are twice to four times as suspicious."""
    random = np.random.default_rng(seed)
    body = np.exp(random.normal(0.2, 0.08, good))
    return np.concatenate([body, random.uniform(2.4, 5, bad)])


@given(st.lists(st.floats(0.01, 1e6), min_size=2, max_size=40))
@settings(max_examples=40, deadline=None)
def test_more_suspicion_is_never_less_confidence(values: list[float]) -> None:
    given = np.array(values)
    estimate = estimate_contamination(given)
    order = np.argsort(given, kind="stable")
    confidence = estimate.confidence[order]
    assert (np.diff(confidence) >= 0).all()
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    for value in values:
        assert len(set(estimate.confidence[given == value].tolist())) == 1
    assert estimate.rate == pytest.approx(float(estimate.confidence.mean()))
    assert 0 <= estimate.low <= estimate.rate <= estimate.high <= 1


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_pooling_is_scipys_isotonic_regression(values: list[float]) -> None:
    expected = isotonic_regression(np.array(values), increasing=False).x
    np.testing.assert_allclose(_descending(np.array(values)), expected, atol=1e-9)


@pytest.mark.parametrize("bad", [0, 4, 20, 60])
def test_rate_is_near_the_truth_where_the_body_is_log_normal(bad: int) -> None:
    good = 200
    for seed in range(3):
        estimate = estimate_contamination(suspicion(good, bad, seed))
        truth = bad / (good + bad)
        assert estimate.rate == pytest.approx(truth, abs=0.04)
        assert (estimate.confidence[good:] > 0.9).all()
        assert (estimate.confidence[:good] > 0.9).mean() < 0.03


def test_scale_does_not_matter_and_the_seed_decides() -> None:
    values = suspicion(50, 5)
    one, other = estimate_contamination(values), estimate_contamination(1000 * values)
    np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-6)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-6)
    again = estimate_contamination(values)
    assert (one.low, one.high) == (again.low, again.high)


def test_pictures_that_are_all_alike_are_good() -> None:
    estimate = estimate_contamination(np.ones(10))
    assert (estimate.rate, estimate.low, estimate.high) == (0, 0, 0)
