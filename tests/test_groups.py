"""Groups order all vectors, and every vector lies in its group's ball."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch import groups
from softpatch.groups import group_by_nearness


@given(n=st.integers(1, 400), dimension=st.integers(1, 9), seed=st.integers(0, 1_000))
@settings(max_examples=40, deadline=None, derandomize=True)
@pytest.mark.parametrize("size", [1, 7, 512])
def test_every_vector_is_in_one_ball(size: int, n: int, dimension: int, seed: int) -> None:
    vectors = torch.randn(n, dimension, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "GROUP_SIZE", size)
        order, found = group_by_nearness(vectors)
    assert order.sort().values.tolist() == list(range(n))
    assert int(found.starts[0]) == 0
    assert int(found.starts[-1]) == n
    for group, (start, stop) in enumerate(zip(found.starts, found.starts[1:], strict=False)):
        assert bool((found.membership[start:stop] == group).all())
        distance = torch.linalg.vector_norm(
            vectors[order[start:stop]] - found.centres[group], dim=1
        )
        assert bool((distance <= found.radii[group]).all())


def test_clusters_become_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUP_SIZE", 50)
    generator = torch.Generator().manual_seed(0)
    cluster = torch.arange(200) // 50
    vectors = 100.0 * torch.eye(4)[cluster] + torch.randn(200, 4, generator=generator)
    order, found = group_by_nearness(vectors)
    pairs = set(zip(cluster[order].tolist(), found.membership.tolist(), strict=True))
    assert len(pairs) == 4
    assert float(found.radii.max()) < 10


def test_same_vectors_same_groups() -> None:
    vectors = torch.randn(3_000, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(group_by_nearness(vectors)[0], group_by_nearness(vectors)[0])
