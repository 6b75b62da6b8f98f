"""Support against distances from every vector to every patch of every picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.bank.support import COORDINATES, Support, support_of


def pictures(count: int, positions: int, dimension: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found: Tensor = torch.randn(count, positions, dimension, generator=generator)
    return found


def slow(vectors: Tensor, own: Tensor, patches: Tensor, of: Tensor) -> Tensor:
    """``(m, N)`` distances to each picture's nearest patch; infinite to the vector's own."""
    images = int(of[-1]) + 1
    distances = torch.full((len(vectors), images), torch.inf, dtype=torch.float64)
    for at, vector in enumerate(vectors.double()):
        for image in set(range(images)) - {int(own[at])}:
            there = patches[of == image].flatten(0, 1).double()
            distances[at, image] = (there - vector).square().sum(dim=1).sqrt().min()
    return distances


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(2, 9),
    dimension=st.integers(1, 24),
    kept=st.integers(1, 10),
    at_once=st.integers(1, 4),
    tiles=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_the_most_similar_pictures_are_those_of_a_full_comparison(
    count: int, dimension: int, kept: int, at_once: int, tiles: bool, seed: int
) -> None:
    patches = pictures(count, 7, dimension, seed)
    of = torch.arange(count) // 2 if tiles else torch.arange(count)
    picks = torch.randperm(count * 7, generator=torch.Generator().manual_seed(seed))[:20]
    vectors, own = patches.flatten(0, 1)[picks], of[picks // 7]
    images = int(of[-1]) + 1
    parts = []
    for start in range(0, images, at_once):
        rows = (of >= start) & (of < start + at_once)
        parts.append((patches[rows], of[rows]))
    told: list[tuple[str, int, int]] = []
    support = support_of(vectors, own, kept, iter(parts), images, lambda *done: told.append(done))
    exact = slow(vectors, own, patches, of)
    width = min(kept, images)
    expected = exact.sort(dim=1).values[:, :width]
    assert support.distances.shape == (len(vectors), width)
    torch.testing.assert_close(support.distances.double(), expected, rtol=1e-5, atol=1e-5)
    there = support.distances.isfinite()
    of_found = exact.gather(1, support.pictures.clamp(min=0))
    torch.testing.assert_close(of_found[there].float(), support.distances[there])
    assert (support.pictures[~there] == -1).all()
    assert told[-1] == ("support", images, images)


def test_long_vectors_are_compared_by_their_leading_coordinates() -> None:
    """Beyond ``COORDINATES`` numbers the distance found is that to a patch, or hardly above."""
    patches = pictures(12, 30, 2 * COORDINATES, 0) * torch.linspace(3, 0.1, 2 * COORDINATES)
    of = torch.arange(12)
    vectors, own = patches[:, ::6].flatten(0, 1), of.repeat_interleave(5)
    support = support_of(vectors, own, 3, iter([(patches, of)]), 12)
    exact = slow(vectors, own, patches, of).sort(dim=1).values[:, :3]
    assert (support.distances >= exact - 1e-3).all()
    assert (support.distances <= 1.02 * exact).all()


@settings(deadline=None, max_examples=40)
@given(count=st.integers(3, 8), rank=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_floors_without_a_picture_are_those_had_it_not_been_there(
    count: int, rank: int, seed: int
) -> None:
    patches, of = pictures(count, 5, 6, seed), torch.arange(count)
    vectors, own = patches[:, :2].flatten(0, 1), of.repeat_interleave(2)
    support = support_of(vectors, own, rank + 1, iter([(patches, of)]), count)
    exact = slow(vectors, own, patches, of)
    for image in range(count):
        without = exact.clone()
        without[:, image] = torch.inf
        left = without.sort(dim=1).values[:, :rank]
        expected = left.where(left.isfinite(), 0).amax(dim=1)
        others = own != image
        found = support.floors_without(image, rank)
        torch.testing.assert_close(found[others].double(), expected[others], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("own", "distances", "pictures_"),
    [
        (torch.zeros(2, dtype=torch.long), torch.zeros(3, 1), torch.zeros(3, 1, dtype=torch.long)),
        (torch.zeros(2, dtype=torch.long), torch.zeros(2, 2), torch.zeros(2, 1, dtype=torch.long)),
        (torch.zeros(2, dtype=torch.long), -torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.long)),
        (torch.zeros(2, dtype=torch.long), torch.full((2, 1), torch.nan), torch.zeros(2, 1).long()),
        (torch.zeros(2), torch.zeros(2, 1), torch.zeros(2, 1, dtype=torch.long)),
    ],
)
def test_what_is_no_support_is_refused(own: Tensor, distances: Tensor, pictures_: Tensor) -> None:
    with pytest.raises(ValueError, match="support"):
        Support(own, distances, pictures_)
