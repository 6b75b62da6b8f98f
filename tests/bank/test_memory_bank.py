"""Nearest bank vectors are found exactly, and scores are soft weight times distance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.bank.memory_bank import Distance, MemoryBank
from tests.reference.scoring import bank_scores, nearest_in_bank

both_distances = pytest.mark.parametrize("distance", ["squared", "euclidean"])


def random_vectors(count: int, dimension: int, seed: int = 0) -> Tensor:
    vectors: Tensor = torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))
    return vectors


def random_bank(count: int, dimension: int, seed: int = 0) -> MemoryBank:
    weights = 1 + torch.rand(count, generator=torch.Generator().manual_seed(seed))
    return MemoryBank(random_vectors(count, dimension, seed), weights)


def assert_finds_nearest(bank: MemoryBank, patches: Tensor) -> None:
    distance, index = bank.nearest(patches)
    vectors = bank.vectors.double().numpy()
    expected = [nearest_in_bank(patch, vectors) for patch in patches.double().numpy()]
    assert index.tolist() == [at for at, _ in expected]
    np.testing.assert_allclose(distance.numpy(), [away for _, away in expected], rtol=1e-6)


@given(
    bank_size=st.integers(1, 60),
    queries=st.integers(1, 30),
    dimension=st.integers(1, 160),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_nearest_is_exact(bank_size: int, queries: int, dimension: int, seed: int) -> None:
    assert_finds_nearest(
        random_bank(bank_size, dimension, seed), random_vectors(queries, dimension, seed + 1)
    )


@given(
    bank_size=st.integers(2, 40),
    queries=st.integers(1, 120),
    count=st.integers(1, 20),
    part=st.integers(1, 40),
    floors=st.booleans(),
    images=st.sampled_from([None, 1, 4]),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_the_farthest_are_those_of_all(
    bank_size: int, queries: int, count: int, part: int, floors: bool, images: int | None, seed: int
) -> None:
    """By bounds from a part of the bank; where all vectors are skipped they are infinite."""
    bank, patches = random_bank(bank_size, 12, seed), random_vectors(queries, 12, seed + 1)
    if floors:
        bank = bank.with_floors(5 * torch.rand(bank_size))
    of, own, own_of_part = None, None, None
    some = bank.first(min(part, bank_size))
    if images is not None:
        of, of_bank = torch.arange(queries) % images, torch.arange(bank_size) % images
        own, own_of_part = (of, of_bank), (of, of_bank[: len(some)])
    at_most = some.nearest(patches, own_of_part)[0]
    expected = bank.nearest(patches, own)[0].sort(descending=True).values[:count]
    assert (at_most >= bank.nearest(patches, own)[0]).all()
    assert torch.equal(bank.farthest(patches, count, at_most, own), expected)
    nearer = at_most.where(torch.arange(queries) % 2 == 0, at_most / 2)
    expected = torch.minimum(bank.nearest(patches, own)[0], nearer).sort(descending=True).values
    assert torch.equal(bank.farthest(patches, count, nearer, own), expected[:count])


@pytest.mark.parametrize("offset", [1e2, 1e4])
def test_nearest_is_exact_far_from_the_origin(offset: float) -> None:
    bank = MemoryBank(random_vectors(300, 20) + offset, torch.ones(300))
    assert_finds_nearest(bank, random_vectors(100, 20, seed=1) + offset)


def test_nearest_is_exact_for_a_patch_unlike_the_bank() -> None:
    bank = random_bank(300, 200)
    assert_finds_nearest(bank, 1e3 * random_vectors(20, 200, seed=1))


def test_nearest_is_exact_on_real_patches(bottle_patches: Tensor) -> None:
    bank = MemoryBank(bottle_patches[:3].flatten(0, 2), torch.ones(3 * 784))
    assert_finds_nearest(bank, bottle_patches[-1].flatten(0, 1)[::5])


def test_of_equally_near_vectors_the_first_wins() -> None:
    """Copies, and true ties on either side of a whole number."""
    vectors = torch.tensor([[9.0], [2.0], [0.0], [2.0], [0.0]])
    bank = MemoryBank(vectors, torch.ones(5))
    distance, index = bank.nearest(torch.tensor([[1.0], [2.0], [0.0], [8.0]]))
    assert index.tolist() == [1, 1, 2, 0]
    assert distance.tolist() == [1.0, 0.0, 0.0, 1.0]


def test_of_many_copies_the_first_wins() -> None:
    distinct = random_vectors(20, 30)
    bank = MemoryBank(distinct.repeat(10, 1), torch.ones(200))
    _, index = bank.nearest(distinct + 1e-3)
    assert index.tolist() == list(range(20))


def test_vectors_of_the_patchs_own_image_are_passed_over() -> None:
    bank = random_bank(80, 6)
    patches = bank.vectors[::4]  # each is its own nearest vector
    of_vectors = torch.arange(80) % 3
    of_patches = of_vectors[::4]
    distance, index = bank.nearest(patches, (of_patches, of_vectors))
    for row, image in enumerate(of_patches):
        others = (of_vectors != image).nonzero().flatten()
        at, away = nearest_in_bank(patches[row].double().numpy(), bank.vectors[others].numpy())
        assert int(index[row]) == int(others[at])
        assert float(distance[row]) == pytest.approx(away, rel=1e-6)


@both_distances
def test_a_patch_whose_image_made_the_whole_bank_is_infinitely_far(distance: Distance) -> None:
    bank = random_bank(10, 4)
    own_images = torch.tensor([7, 1]), torch.full((10,), 7)
    scores = bank.score(random_vectors(2, 4, seed=1), distance, own_images)
    assert scores.isinf().tolist() == [True, False]


@both_distances
@pytest.mark.parametrize("dimension", [1, 5, 200])
def test_score_is_weight_times_distance(dimension: int, distance: Distance) -> None:
    bank, patches = random_bank(50, dimension), random_vectors(70, dimension, seed=1)
    expected = bank_scores(
        patches.double().numpy(),
        bank.vectors.double().numpy(),
        bank.weights.double().numpy(),
        squared=distance == "squared",
    )
    np.testing.assert_allclose(bank.score(patches, distance).numpy(), expected, rtol=1e-5)


def test_score_by_hand() -> None:
    """Weight 10 belongs to the vector that is nearest, not the one with the least product."""
    bank = MemoryBank(torch.tensor([[0.0, 0.0], [6.0, 8.0]]), torch.tensor([1.0, 10.0]))
    patch = torch.tensor([[3.1, 4.0]])
    away = 2.9**2 + 4.0**2
    assert float(bank.score(patch, "squared")) == pytest.approx(10 * away)
    assert float(bank.score(patch, "euclidean")) == pytest.approx(10 * away**0.5)


@both_distances
def test_patches_in_the_bank_score_exactly_zero(distance: Distance) -> None:
    bank = random_bank(100, 300)
    assert torch.equal(bank.score(bank.vectors, distance), torch.zeros(100))


@pytest.mark.parametrize(
    "name", ["compute.scratch.CHUNK_BYTES", "bank.sketch.COORDINATES", "bank.sketch.PAIRS"]
)
@pytest.mark.parametrize("value", [1, 37, 100_000])
def test_working_sizes_do_not_change_a_bit(
    name: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches = random_vectors(60, 20, seed=1)
    distance, index = random_bank(150, 20).nearest(patches)
    monkeypatch.setattr(f"softpatch.{name}", value)
    again = random_bank(150, 20).nearest(patches)
    assert torch.equal(again[0], distance)
    assert torch.equal(again[1], index)


def test_a_patchs_result_does_not_depend_on_its_company() -> None:
    bank, patches = random_bank(150, 200), random_vectors(40, 200, seed=1)
    together = bank.score(patches, "squared")
    alone = torch.cat([bank.score(patches[i : i + 1], "squared") for i in range(40)])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("count", [1, 9, 60])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_neighbours_are_sorted_by_distance(count: int, offset: float) -> None:
    bank = MemoryBank(random_vectors(60, 15) + offset, torch.ones(60))
    patches = random_vectors(30, 15, seed=1) + offset
    truth = torch.cdist(
        patches.double(), bank.vectors.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    expected = truth.argsort(dim=1)[:, :count]
    assert bank.neighbours(patches, count).tolist() == expected.tolist()


def test_length_is_the_number_of_vectors() -> None:
    assert len(random_bank(13, 2)) == 13


@given(
    bank_size=st.integers(1, 60),
    dimension=st.integers(1, 160),
    largest=st.sampled_from([0.5, 3.0, 50.0]),
    held_out=st.booleans(),
    seed=st.integers(0, 1_000),
)
@settings(deadline=None)
def test_no_vector_is_nearer_than_its_floor(
    bank_size: int, dimension: int, largest: float, held_out: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = random_vectors(bank_size, dimension, seed)
    floors = largest * torch.rand(bank_size, generator=generator)
    floors[torch.rand(bank_size, generator=generator) < 0.5] = 0
    bank = MemoryBank(vectors, torch.ones(bank_size), floors=floors)
    patches = torch.cat([random_vectors(20, dimension, seed + 1), vectors[:5]])
    of_bank = torch.randint(3, (bank_size,), generator=generator)
    of_patch = torch.randint(3, (len(patches),), generator=generator)
    reached = torch.cdist(
        patches.double(), vectors.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    reached = torch.maximum(reached, floors.double())
    if held_out:
        reached[of_patch.unsqueeze(1) == of_bank] = torch.inf
    distance, index = bank.nearest(patches, (of_patch, of_bank) if held_out else None)
    expected = reached.amin(dim=1)
    torch.testing.assert_close(distance.double(), expected, rtol=1e-5, atol=1e-6)
    found = expected.isfinite()
    assert torch.equal(index[found], reached.argmin(dim=1)[found])


def test_other_floors_leave_the_bank_as_it_was() -> None:
    bank = random_bank(30, 16)
    patches = random_vectors(10, 16, seed=1)
    before = bank.nearest(patches)[0]
    high = bank.with_floors(torch.full((30,), 100.0))
    assert high.nearest(patches)[0].tolist() == [100.0] * 10
    assert torch.equal(bank.nearest(patches)[0], before)
    assert torch.equal(high.with_floors(None).nearest(patches)[0], before)
