"""A random draw takes each thing at most once, all equally often, and the same by the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from softpatch.bank.random_draw import random_draw


@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (10, 10), (10, 12), (1000, 3), (10**12, 5), (10**5, 20_000)]
)
def test_indices_ascend_without_repeats(count: int, size: int) -> None:
    drawn = random_draw(count, size, seed=3)
    assert drawn.dtype == torch.int64
    assert len(drawn) == min(size, count)
    assert bool((drawn.diff() > 0).all())
    assert 0 <= int(drawn[0]) <= int(drawn[-1]) < count


def test_the_seed_and_the_number_decide() -> None:
    one = random_draw(1000, 50, seed=3)
    assert torch.equal(one, random_draw(1000, 50, seed=3, number=0))
    for other in (random_draw(1000, 50, seed=4), random_draw(1000, 50, seed=3, number=1)):
        assert 0 < len(set(one.tolist()) & set(other.tolist())) < 15  # 2.5 by chance


@pytest.mark.parametrize("size", [5, 60])
def test_each_is_drawn_equally_often(size: int) -> None:
    drawn = torch.cat([random_draw(100, size, seed) for seed in range(2000)])
    assert chisquare(np.bincount(drawn.numpy(), minlength=100)).pvalue > 0.001
