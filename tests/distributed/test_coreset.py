"""The bound of a coreset picked in shards, against the best bank there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.memory_bank import MemoryBank
from softpatch.compute.progress import silent
from softpatch.distributed.sharded_coreset import least_distance, sharded_coreset


class InProcess:
    """Blocks whose tasks run here; every block has two parts."""

    def __init__(self, patches: Tensor, blocks: int) -> None:
        self.patches = patches  # (M, P, D)
        self.shape = patches.shape
        borders = [patches.shape[1] * at // blocks for at in range(blocks + 1)]
        self.positions = [slice(*pair) for pair in pairwise(borders)]

    def each(
        self, work: Callable[..., Any], *arguments: Any, eligible: Tensor
    ) -> Iterator[tuple[slice, Any]]:
        for block in self.positions:
            here = self.patches[:, block].numpy()
            parts = [part for part in (here[:1], here[1:]) if len(part)]
            yield block, work(eligible[:, block].numpy(), *arguments, *parts)


def radius(points: Tensor, bank: Tensor) -> float:
    return float(torch.cdist(points.double(), bank.double()).amin(dim=1).max())


@given(seed=st.integers(0, 10_000), size=st.integers(1, 3), blocks=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_radius_is_at_most_twice_the_best_and_the_slack(seed: int, size: int, blocks: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(4, 3, 2, generator=generator)
    eligible = torch.rand(4, 3, generator=generator) < 0.8
    eligible[0, 0] = True
    points = patches[eligible]

    shards: Any = InProcess(patches, blocks)
    picks, coverage = sharded_coreset(shards, eligible, size, 0, silent)
    bank = patches.flatten(0, 1)[picks]

    best = min(
        radius(points, points[list(chosen)])
        for chosen in combinations(range(len(points)), min(size, len(points)))
    )
    assert eligible.flatten()[picks].all()
    assert coverage.radius == pytest.approx(radius(points, bank), abs=1e-5)
    assert coverage.separation <= 2 * best + 1e-5
    assert coverage.radius <= 2 * best + coverage.slack + 1e-5


def test_shards_cost_little_where_there_is_structure() -> None:
    """400 patches in 20 clusters of one position or of several: as good as all at once."""
    generator = torch.Generator().manual_seed(0)
    centres = 10 * torch.randn(20, 16, generator=generator)
    which = torch.randint(20, (40, 10), generator=generator)
    patches = centres[which] + 0.1 * torch.randn(40, 10, 16, generator=generator)
    shards: Any = InProcess(patches, 5)
    _, coverage = sharded_coreset(shards, torch.ones(40, 10) > 0, 20, 0, silent)
    flat = patches.flatten(0, 1)
    plain = flat[greedy_coreset(flat, 20)]
    assert coverage.radius <= 1.2 * radius(flat, plain)


def test_a_bank_of_everything_covers_everything() -> None:
    patches = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    shards: Any = InProcess(patches, 2)
    picks, coverage = sharded_coreset(shards, torch.ones(3, 4) > 0, 50, 0, silent)
    assert sorted(picks.tolist()) == list(range(12))
    assert (coverage.radius, coverage.separation) == (0, 0)


def test_least_distance() -> None:
    vectors = torch.tensor([[0.0, 0], [3, 4], [10, 0], [10, 1]])
    assert least_distance(vectors) == 1
    assert len(MemoryBank(vectors, torch.ones(4))) == 4
    np.testing.assert_allclose(least_distance(vectors[:2]), 5)
