"""What a limit costs, by held-out scores of training pictures."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from softpatch.calling.costs import costs_of


@given(st.lists(st.integers(1, 1000).map(float), min_size=1, max_size=60))
def test_it_is_the_rank_that_a_new_picture_would_need(scores: list[float]) -> None:
    good = np.sort(scores)
    found = costs_of(good, (500.0,))
    limits = [cost.limit for cost in found]
    assert limits == sorted(set(limits), reverse=True)
    assert {good.max(), 500.0} <= set(limits)
    for cost in found:
        assert cost.expected == (1 + sum(score > cost.limit for score in scores)) / (len(good) + 1)
        assert cost.least == (cost.limit > good.max())


def test_it_holds_for_new_pictures() -> None:
    random = np.random.default_rng(0)
    limit, said, stopped = 1.5, 0.0, 0.0
    for _ in range(3000):
        for cost in costs_of(np.sort(random.exponential(size=40)), (limit,)):
            if cost.limit == limit and cost.expected is not None:
                said += cost.expected / 3000
        stopped += (random.exponential() > limit) / 3000
    # A limit that is none of the scores stops what is said, or up to one picture in 41 less.
    assert stopped - 0.02 <= said <= stopped + 1 / 41 + 0.02


def test_without_training_pictures_only_the_limits_are_told() -> None:
    (cost,) = costs_of(np.array([]), (3.0,))
    assert (cost.limit, cost.expected) == (3.0, None)
