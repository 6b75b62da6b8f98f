"""The search in the graph against distances to everything, in float64."""

from __future__ import annotations

import pytest
import torch

from softpatch.export import search
from softpatch.export.search import NearestSearch


@pytest.mark.parametrize("chunk", [7, 40, 1000])
@pytest.mark.parametrize("count", [1, 9])
def test_nearest_are_those_of_a_full_comparison(
    chunk: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "CHUNK", chunk)
    generator = torch.Generator().manual_seed(0)
    bank = 100 + torch.randn(130, 24, generator=generator)  # far from the origin
    patches = 100 + torch.randn(50, 24, generator=generator)
    distances, index = NearestSearch(bank)(patches, count)
    expected = torch.cdist(patches.double(), bank.double()).topk(count, dim=1, largest=False)
    torch.testing.assert_close(distances.double(), expected.values, rtol=1e-5, atol=0)
    assert torch.equal(index, expected.indices)


def test_distances_of_near_copies_keep_their_digits() -> None:
    """As |p|^2 + |m|^2 - 2 pm alone, float32 would lose all of this one."""
    bank = torch.randn(10, 64, generator=torch.Generator().manual_seed(0)) * 100
    patch = bank[3:4] + 1e-3
    distances, index = NearestSearch(bank)(patch)
    assert index.item() == 3
    exact = (patch.double() - bank[3].double()).norm()
    torch.testing.assert_close(distances[0, 0].double(), exact, rtol=1e-2, atol=0)


def test_bank_of_one_vector() -> None:
    distances, index = NearestSearch(torch.ones(1, 4))(torch.zeros(2, 4), 9)
    assert distances.tolist() == [[2.0], [2.0]]
    assert index.tolist() == [[0], [0]]
