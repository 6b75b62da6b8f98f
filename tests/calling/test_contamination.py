"""The estimate of how many pictures are bad."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gumbel_r

from softpatch.calling.contamination import MOST, _fit, _Good, estimate_contamination

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
    assert 0 <= estimate.low <= estimate.rate <= estimate.high <= 1
    assert estimate.rate <= MOST


def test_density_is_scipys_gumbel() -> None:
    values = np.linspace(-30, 30, 200)
    good = _Good(location=0.7, scale=1.3, rate=0.2)
    np.testing.assert_allclose(good.density(values), gumbel_r(0.7, 1.3).pdf(values), atol=1e-15)
    assert gumbel_r(0.7, 1.3).sf(good.tail) == pytest.approx(0.01)


@pytest.mark.parametrize("bad", [0, 100, 600])
def test_the_law_of_the_good_is_found_beside_bad_ones(bad: int) -> None:
    random = np.random.default_rng(0)
    values = gumbel_r(0.7, 0.1).rvs(1000, random_state=random)
    found = _fit(np.concatenate([values, random.uniform(2, 4, bad)]))
    assert found.location == pytest.approx(0.7, abs=0.015)
    assert found.scale == pytest.approx(0.1, rel=0.1)
    assert found.rate == pytest.approx(bad / (1000 + bad), abs=0.01)


@pytest.mark.parametrize("bad", [0, 4, 20, 60, 130])
def test_rate_and_interval_hold_the_truth(bad: int) -> None:
    good = 200
    truth = bad / (good + bad)
    held = 0
    for seed in range(10):
        estimate = estimate_contamination(suspicion(good, bad, seed))
        assert estimate.rate == pytest.approx(truth, abs=0.03)
        assert (estimate.confidence[good:] > 0.5).all()
        assert (estimate.confidence[:good] > 0.5).mean() <= 0.02
        held += estimate.low <= truth <= estimate.high
    assert held >= 9


def test_scale_does_not_matter_and_the_seed_decides() -> None:
    values = suspicion(50, 5)
    one, other = estimate_contamination(values), estimate_contamination(1000 * values)
    np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-6)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-6)
    again = estimate_contamination(values)
    assert (one.low, one.high) == (again.low, again.high)


def test_pictures_that_are_all_alike_are_good_as_far_as_ten_can_tell() -> None:
    estimate = estimate_contamination(np.ones(10))
    assert (estimate.rate, estimate.low) == (0, 0)
    assert estimate.high == pytest.approx(1 - 0.05 ** (1 / 10))
    assert (estimate.confidence == 0).all()
