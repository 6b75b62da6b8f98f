"""Groups order all vectors, and every vector lies in its group's ball."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch import groups
from softpatch.groups import Groups, order_by_nearness


@given(n=st.integers(1, 400), dimension=st.integers(1, 9), seed=st.integers(0, 1_000))
@settings(max_examples=40, deadline=None, derandomize=True)
@pytest.mark.parametrize("size", [1, 7, 512])
def test_every_vector_is_in_one_ball(size: int, n: int, dimension: int, seed: int) -> None:
    vectors = torch.randn(n, dimension, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "GROUP_SIZE", size)
        order, starts = order_by_nearness(vectors)
    assert order.sort().values.tolist() == list(range(n))
    found = Groups.of(vectors[order], starts)
    assert found.starts[0] == 0
    assert found.starts[-1] == n
    for group, (start, stop) in enumerate(pairwise(found.starts)):
        assert found.members(group) == slice(start, stop)
        inside = vectors[order[start:stop]]
        distance = torch.linalg.vector_norm(inside - found.centres[group], dim=1)
        assert bool((distance <= found.radii[group]).all())


@pytest.mark.parametrize("starts", [[0, 5], [0, 2, 5], [0, 0, 3, 3, 5]])
def test_the_largest_of_every_group(starts: list[int]) -> None:
    values = torch.tensor([3.0, 1.0, 4.0, 1.5, 9.0], dtype=torch.float64)
    found = Groups.of(torch.rand(5, 2), torch.tensor(starts))
    expected = [max(values[a:b].tolist(), default=0.0) for a, b in pairwise(starts)]
    assert found.largest(values).tolist() == expected


def test_clusters_become_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUP_SIZE", 50)
    generator = torch.Generator().manual_seed(0)
    cluster = torch.arange(200) // 50
    vectors = 100.0 * torch.eye(4)[cluster] + torch.randn(200, 4, generator=generator)
    order, starts = order_by_nearness(vectors)
    found = Groups.of(vectors[order], starts)
    assert [len(set(cluster[order[a:b]].tolist())) for a, b in pairwise(found.starts)] == [1] * 4
    assert float(found.radii.max()) < 10


def test_same_vectors_same_groups() -> None:
    vectors = torch.randn(3_000, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(order_by_nearness(vectors)[0], order_by_nearness(vectors)[0])
