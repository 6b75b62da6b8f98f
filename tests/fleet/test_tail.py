"""The comparison of scores: its law, its interval, and how often it is wrong."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from softpatch.fleet import tail
from softpatch.fleet.drift import CHANCE, Drift
from softpatch.fleet.tail import compare


def drift_of(scores: npt.NDArray[np.float64], held_out: npt.NDArray[np.float64]) -> Drift:
    return Drift(len(scores), compare(scores, held_out), None, None, None, ())


@pytest.mark.parametrize(("new", "old", "rank"), [(3, 4, 1), (4, 3, 3), (2, 5, 2), (1, 1, 1)])
def test_law_counts_the_orders_of_old_and_new(new: int, old: int, rank: int) -> None:
    places = list(itertools.combinations(range(new + old), new))  # 0 is the largest score
    found = [0] * (new + 1)
    for taken in places:
        of_old = [place for place in range(new + old) if place not in taken]
        found[sum(place < of_old[rank - 1] for place in taken)] += 1
    law = [tail._chance(count, new, rank, old) for count in range(new + 1)]
    assert law == pytest.approx([count / len(places) for count in found])


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_law_is_the_beta_binomial_one(new: int, old: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, old))
    law = [tail._chance(count, new, rank, old) for count in range(new + 1)]
    expected = stats.betabinom(new, rank, old + 1 - rank).pmf(range(new + 1))
    assert math.fsum(law) == pytest.approx(1)
    np.testing.assert_allclose(law, expected, rtol=1e-6, atol=1e-12)


@given(st.integers(1, 500), st.data())
def test_interval_is_wilsons(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    expected = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert tail._interval(count, total) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_counts_by_hand() -> None:
    held_out = np.exp(np.linspace(0, 1, 39))  # none suspected; 2 of 39 are 5 % of 40
    level = held_out[-2]
    scores = np.array([level, level * 1.001, held_out[-1], 100.0, 0.1])
    found = compare(scores, held_out)
    assert (found.level, found.scored, found.above) == (level, 5, 3)
    assert found.expected == 2 / 40
    assert found.chance == pytest.approx(stats.betabinom(5, 2, 38).sf(2))
    assert found.least == pytest.approx(stats.betabinom(5, 2, 38).pmf(5))


def draw(random: np.random.Generator, count: int, bad: float) -> npt.NDArray[np.float64]:
    """Scores of pictures of which that share is bad."""
    good = np.exp(0.2 * random.gumbel(size=count))
    return np.where(random.random(count) < bad, 6 * good, good)


@pytest.mark.parametrize("bad", [0.0, 0.1])
def test_without_drift_hardly_any_camera_is_flagged(bad: float) -> None:
    random = np.random.default_rng(0)
    flagged = sum(drift_of(draw(random, 60, bad), draw(random, 120, bad)).drifted for _ in range(600))
    assert flagged <= 600 * CHANCE + 3 * math.sqrt(600 * CHANCE)


@pytest.mark.parametrize("bad", [0.0, 0.1])
def test_drift_is_found_with_bad_pictures_on_both_sides(bad: float) -> None:
    random = np.random.default_rng(1)
    found = [drift_of(1.6 * draw(random, 40, bad), draw(random, 120, bad)) for _ in range(50)]
    assert np.mean([one.drifted for one in found]) > 0.8
    assert {one.verdict for one in found} <= {"drifted", "as before"}


def test_one_new_picture_is_too_few() -> None:
    held_out = draw(np.random.default_rng(2), 100, 0.0)
    assert drift_of(np.array([100.0]), held_out).verdict == "too few to tell"
    assert drift_of(np.full(5, 100.0), held_out).verdict == "drifted"
