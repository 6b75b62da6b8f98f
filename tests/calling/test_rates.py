"""Counts of pictures: the interval of the share, and the chance that two counts are alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binomtest, fisher_exact

from softpatch.calling.rates import Rate, chance_of_fewer, chance_of_more

rates = st.integers(1, 200).flatmap(lambda of: st.builds(Rate, st.integers(0, of), st.just(of)))


@given(rates)
def test_the_interval_is_wilsons(rate: Rate) -> None:
    exact = binomtest(rate.count, rate.of).proportion_ci(method="wilson")
    assert rate.interval() == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert 0 <= rate.interval()[0] <= rate.share <= rate.interval()[1] <= 1


@given(rates, rates)
def test_the_chance_is_fishers(one: Rate, other: Rate) -> None:
    table = np.array([[one.count, one.of - one.count], [other.count, other.of - other.count]])
    more, fewer = fisher_exact(table, "greater").pvalue, fisher_exact(table, "less").pvalue
    assert chance_of_more(one, other) == pytest.approx(more, rel=1e-9)
    assert chance_of_fewer(one, other) == pytest.approx(fewer, rel=1e-9)


@given(st.integers(1, 80), st.integers(1, 80), st.data())
def test_it_is_exact_for_a_limit_that_is_one_of_the_scores(
    count: int, new: int, data: st.DataObject
) -> None:
    rank = data.draw(st.integers(1, count))  # of the limit: rank - 1 of them exceed it
    stopped = data.draw(st.integers(0, new))
    exact = betabinom.sf(stopped - 1, new, rank, count + 1 - rank)
    assert chance_of_more(Rate(stopped, new), Rate(rank - 1, count)) == pytest.approx(exact)


def test_it_is_told_as_a_count() -> None:
    assert str(Rate(1, 8)) == "1 of 8 (12.5%; 95 % interval 2.2% to 47.1%)"
    assert str(Rate(0, 3)) == "0 of 3 (0.0%; 95 % interval 0.0% to 56.1%)"
