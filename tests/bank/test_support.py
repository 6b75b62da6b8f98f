"""Support against distances from every vector to every patch of every picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.bank import bounds
from softpatch.bank.support import COORDINATES, PictureSearch, Support, neighbourhood
from softpatch.compute.scratch import ScratchSpace


def pictures(count: int, positions: int, dimension: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found: Tensor = torch.randn(count, positions, dimension, generator=generator)
    return found


def slow(
    vectors: Tensor, own: Tensor, patches: Tensor, of: Tensor, beside: Tensor | None = None
) -> Tensor:
    """``(m, N)`` distances to each picture's nearest patch; infinite to the vector's own.

    ``beside``: ``(m, k)`` positions of each vector that count; all of them if None.
    """
    images = int(of[-1]) + 1
    distances = torch.full((len(vectors), images), torch.inf, dtype=torch.float64)
    for at, vector in enumerate(vectors.double()):
        for image in set(range(images)) - {int(own[at])}:
            there = patches[of == image]
            there = there if beside is None else there[:, beside[at]]
            distances[at, image] = (
                (there.flatten(0, 1).double() - vector).square().sum(dim=1).sqrt().min()
            )
    return distances


def search(
    patches: Tensor, of: Tensor, picks: Tensor, count: int, beside: Tensor | None = None
) -> list[Support]:
    positions = patches.shape[1]
    found = PictureSearch(
        patches.flatten(0, 1)[picks], of[picks // positions], picks % positions, count, beside,
        ScratchSpace(),
    )  # fmt: skip
    found.see(patches, of, torch.arange(len(of)))
    return found.found()


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 what is found may be a little farther than the nearest."""
    monkeypatch.setattr(bounds, "has_bf16", lambda _: False)


@pytest.mark.parametrize("bf16", [False, True])
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    count=st.integers(2, 9),
    dimension=st.integers(1, 24),
    kept=st.integers(1, 10),
    at_once=st.integers(1, 4),
    tiles=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_the_most_similar_pictures_are_those_of_a_full_comparison(
    bf16: bool, count: int, dimension: int, kept: int, at_once: int, tiles: bool, seed: int
) -> None:
    patches = pictures(count, 6, dimension, seed)
    of = torch.arange(count) // 2 if tiles else torch.arange(count)
    picks = torch.randperm(count * 6, generator=torch.Generator().manual_seed(seed))[:20]
    vectors, own, places = patches.flatten(0, 1)[picks], of[picks // 6], picks % 6
    images = int(of[-1]) + 1
    beside = None if tiles else neighbourhood((2, 3), None, 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "has_bf16", lambda _: bf16)
        found = PictureSearch(vectors, own, places, kept, beside, ScratchSpace())
    for start in range(0, images, at_once):
        rows = (of >= start) & (of < start + at_once)
        found.see(patches[rows], of[rows], rows.nonzero().flatten())
    expected = [slow(vectors, own, patches, of)]
    if beside is not None:
        expected.append(slow(vectors, own, patches, of, beside[places]))
    width = min(kept, images)
    for support, exact in zip(found.found(), expected, strict=True):
        nearest = exact.sort(dim=1).values[:, :width]
        assert support.distances.shape == (len(vectors), width)
        distances = support.distances.double()
        relative, absolute = (0.01, 0.02) if bf16 else (1e-5, 1e-5)
        torch.testing.assert_close(distances, nearest, rtol=relative, atol=absolute)
        assert (distances >= nearest * (1 - 1e-5) - 1e-5).all()
        there = support.distances.isfinite()
        of_found = exact.gather(1, support.pictures.clamp(min=0))
        torch.testing.assert_close(of_found[there], distances[there], rtol=relative, atol=absolute)
        assert (support.pictures[~there] == -1).all()
    like, nearest = found.like(), expected[0].amin(dim=1)
    assert torch.equal(like >= 0, nearest.isfinite())
    some = like >= 0
    to = (patches.flatten(0, 1)[like[some]] - vectors[some]).double().norm(dim=1)
    torch.testing.assert_close(to, nearest[some], rtol=relative, atol=absolute)


def test_long_vectors_are_compared_by_their_leading_coordinates() -> None:
    """Beyond ``COORDINATES`` numbers the distance found is that to a patch, or hardly above."""
    patches = pictures(12, 30, 2 * COORDINATES, 0) * torch.linspace(3, 0.1, 2 * COORDINATES)
    of, picks = torch.arange(12), torch.arange(0, 360, 6)
    (support,) = search(patches, of, picks, 3)
    exact = slow(patches.flatten(0, 1)[picks], of[picks // 30], patches, of)
    nearest = exact.sort(dim=1).values[:, :3]
    assert (support.distances >= nearest - 1e-3).all()
    assert (support.distances <= 1.02 * nearest).all()


@settings(deadline=None, max_examples=40)
@given(count=st.integers(3, 8), rank=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_ranks_without_a_picture_are_those_had_it_not_been_there(
    count: int, rank: int, seed: int
) -> None:
    patches, of = pictures(count, 5, 6, seed), torch.arange(count)
    picks = torch.arange(0, 5 * count, 2)
    own = of[picks // 5]
    (support,) = search(patches, of, picks, rank + 1)
    exact = slow(patches.flatten(0, 1)[picks], own, patches, of)
    for image in range(count):
        without = exact.clone()
        without[:, image] = torch.inf
        left = without.sort(dim=1).values[:, :rank]
        expected = left.where(left.isfinite(), 0).amax(dim=1)
        others = own != image
        found = support.rank_without(image, rank)
        torch.testing.assert_close(found[others].double(), expected[others], rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(first=st.integers(1, 5), rest=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_pictures_seen_later_join_those_seen_before(first: int, rest: int, seed: int) -> None:
    patches, of = pictures(first + rest, 4, 5, seed), torch.arange(first + rest)
    picks = torch.arange(4 * first)
    (before,) = search(patches[:first], of[:first], picks, 3)
    flat = patches.flatten(0, 1)[picks]
    later = PictureSearch(flat, of[picks // 4], picks % 4, 3, None, ScratchSpace())
    later.see(patches[first:], of[first:], torch.arange(first, first + rest))
    (every,) = search(patches, of, picks, 3)
    joined = before.and_in(later.found()[0])
    width = min(joined.count, every.count)
    torch.testing.assert_close(joined.distances[:, :width], every.distances[:, :width])


@settings(deadline=None, max_examples=40)
@given(count=st.integers(2, 7), seed=st.integers(0, 10**6))
def test_by_way_of_a_near_vector_nothing_is_nearer_than_it_is(count: int, seed: int) -> None:
    """Of new vectors: never less than the truth, and the truth where the two are the same."""
    patches, of = pictures(count, 4, 5, seed), torch.arange(count)
    picks = torch.arange(4 * count)
    (support,) = search(patches, of, picks, 3)
    flat = patches.flatten(0, 1)
    new = torch.cat([flat[:2], pictures(1, 6, 5, seed + 1)[0]])
    exactly = "donot_use_mm_for_euclid_dist"  # else the same vectors are 0.001 apart
    apart, nearest = torch.cdist(new, flat, compute_mode=exactly).min(dim=1)
    own = torch.full((len(new),), count)
    through = support.by_way_of(nearest, apart, own, torch.zeros_like(own))
    exact = slow(new, own, patches, of).sort(dim=1).values[:, : through.count]
    assert (through.distances.double() >= exact - 1e-4).all()
    torch.testing.assert_close(through.distances[:2].double(), exact[:2], rtol=1e-3, atol=1e-3)
    assert (through.pictures[:, 0] == of[nearest // 4]).all()


def test_the_positions_beside_one_are_of_its_tile_and_inside_the_region() -> None:
    beside = neighbourhood((2, 3), None, 12)
    assert sorted(set(beside[0].tolist())) == [0, 1, 3, 4]
    assert sorted(set(beside[4].tolist())) == [0, 1, 2, 3, 4, 5]
    assert sorted(set(beside[6].tolist())) == [6, 7, 9, 10]
    inside = torch.tensor([[True, False, True, True, True, True]])
    assert sorted(set(neighbourhood((2, 3), inside, 5)[0].tolist())) == [0, 2, 3]


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
        Support(own, own.long(), distances, pictures_)
