"""The two-sample test: its law, its interval, and its error rate."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from softpatch.fleet import two_sample
from softpatch.fleet.drift import CHANCE, Drift
from softpatch.fleet.two_sample import compare


def drift_of(new: npt.NDArray[np.float64], old: npt.NDArray[np.float64]) -> Drift:
    return Drift(len(new), compare(new, old), None, None, None, ())


@pytest.mark.parametrize(("new", "old"), [(3, 4), (4, 3), (2, 5), (1, 2)])
def test_law_counts_the_orders_of_old_and_new(new: int, old: int) -> None:
    places = list(itertools.combinations(range(new + old), new))
    found = [0] * (new + 1)
    for taken in places:
        of_old = [place for place in range(new + old) if place not in taken]
        found[sum(not of_old[0] < place < of_old[-1] for place in taken)] += 1
    law = [two_sample._chance(count, new, 2, old) for count in range(new + 1)]
    assert law == pytest.approx([count / len(places) for count in found])


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(2, 500), st.data())
def test_law_is_the_beta_binomial_one(new: int, old: int, data: st.DataObject) -> None:
    gaps = data.draw(st.integers(1, old))
    law = [two_sample._chance(count, new, gaps, old) for count in range(new + 1)]
    expected = stats.betabinom(new, gaps, old + 1 - gaps).pmf(range(new + 1))
    assert math.fsum(law) == pytest.approx(1)
    np.testing.assert_allclose(law, expected, rtol=1e-6, atol=1e-12)


@settings(deadline=None)
@given(st.integers(1, 500), st.data())
def test_interval_is_wilsons(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    expected = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert two_sample._interval(count, total) == pytest.approx(
        (expected.low, expected.high), abs=1e-6
    )


def test_counts_by_hand() -> None:
    old = np.exp(np.linspace(0, 1, 79))  # 4 of 79 on either side are 10 % of 80
    low, high = old[3], old[-4]
    new = np.array([low, low * 0.999, high, high * 1.001, 1.5, 100.0])
    found = compare(new, old[::-1])
    assert (found.new, found.outside) == (6, 3)
    assert found.expected == 8 / 80
    assert found.chance == pytest.approx(stats.betabinom(6, 8, 72).sf(2))
    assert found.least == pytest.approx(stats.betabinom(6, 8, 72).pmf(6))
    with_bad = compare(new, np.append(old, [50.0, 60.0, 70.0]))  # no wider, but expected more
    assert (with_bad.outside, with_bad.expected) == (3, 11 / 83)


def draw(random: np.random.Generator, count: int, bad: float) -> npt.NDArray[np.float64]:
    """Numbers of pictures of which that share is bad."""
    good = np.exp(0.1 * random.normal(size=count))
    return np.where(random.random(count) < bad, 2 * good, good)


@pytest.mark.parametrize("bad", [0.0, 0.1])
def test_without_drift_hardly_any_camera_is_flagged(bad: float) -> None:
    random = np.random.default_rng(0)
    flagged = sum(
        drift_of(draw(random, 60, bad), draw(random, 64, bad)).drifted for _ in range(600)
    )
    assert flagged <= 600 * CHANCE + 3 * math.sqrt(600 * CHANCE)


@pytest.mark.parametrize("bad", [0.0, 0.1])
@pytest.mark.parametrize("change", [0.7, 1.4])
def test_drift_either_way_is_found_with_bad_pictures_on_both_sides(
    bad: float, change: float
) -> None:
    random = np.random.default_rng(1)
    found = [drift_of(change * draw(random, 40, bad), draw(random, 64, bad)) for _ in range(20)]
    assert [one.verdict for one in found].count("drifted") >= 16


def test_few_pictures_tell_nothing() -> None:
    old = np.exp(np.linspace(0, 1, 64))
    assert drift_of(np.array([9.0]), old).verdict == "too few to tell"
    assert drift_of(np.full(4, 9.0), old).verdict == "drifted"
    assert drift_of(np.full(100, 9.0), old[:2]).verdict == "too few to tell"
    assert not drift_of(np.full(100, 9.0), old[:2]).drifted
    assert not drift_of(np.ones(100), np.ones(50)).drifted
