"""An ensemble's score is the median of the distances to its banks, an image's own vectors aside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from softpatch.bank.bank_ensemble import BankEnsemble, finite_median
from softpatch.bank.memory_bank import Distance, MemoryBank
from tests.bank.test_memory_bank import both_distances, random_vectors
from tests.reference.scoring import ensemble_scores


def ensemble(banks: int, size: int, dimension: int = 20) -> BankEnsemble:
    return BankEnsemble(random_vectors(banks * size, dimension).view(banks, size, dimension))


@both_distances
@pytest.mark.parametrize("banks", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [1, 40])
def test_equals_the_median_by_brute_force(distance: Distance, banks: int, size: int) -> None:
    several, patches = ensemble(banks, size), random_vectors(30, 20, seed=1)
    expected = ensemble_scores(
        patches.double().numpy(),
        list(several.vectors.double().numpy()),
        squared=distance == "squared",
    )
    np.testing.assert_allclose(several.score(patches, distance).numpy(), expected, rtol=1e-5)


@both_distances
def test_one_bank_scores_as_it_does_alone(distance: Distance) -> None:
    one, patches = ensemble(1, 50), random_vectors(30, 20, seed=1)
    alone = MemoryBank(one.vectors[0], torch.ones(50))
    assert torch.equal(one.score(patches, distance), alone.score(patches, distance))


def test_vectors_of_the_own_image_are_skipped_in_each_bank() -> None:
    """A bank of nothing else has no say: the first one, of patches of image 0."""
    several, patches = ensemble(4, 6), random_vectors(10, 20, seed=1)
    of_patch = torch.arange(10) % 3
    of_bank = torch.tensor([[0] * 6, [0, 0, 1, 1, 2, 2], [2] * 6, [-1, 0, 1, 2, 0, 1]])
    scores = several.score(patches, "squared", (of_patch, of_bank))
    for patch, image, score in zip(patches, of_patch.tolist(), scores.tolist(), strict=True):
        left = [bank[of != image] for bank, of in zip(several.vectors, of_bank, strict=True)]
        banks = [bank.double().numpy() for bank in left if len(bank)]
        assert len(banks) == {0: 3, 1: 4, 2: 3}[image]
        [expected] = ensemble_scores(patch[None].double().numpy(), banks, squared=True)
        assert score == pytest.approx(expected, rel=1e-5)


def test_infinite_where_all_vectors_are_skipped() -> None:
    skipped = (torch.zeros(2, dtype=torch.long), torch.zeros(3, 4, dtype=torch.long))
    scores = ensemble(3, 4).score(random_vectors(2, 20, seed=1), "squared", skipped)
    assert scores.isinf().all()


def test_the_median_is_of_finite_values() -> None:
    inf = torch.inf
    columns = torch.tensor(
        [[4.0, inf, inf, inf, 1.0], [1.0, 7.0, 5.0, inf, 1.0], [3.0, inf, 2.0, inf, inf]]
    )
    assert finite_median(columns).tolist() == [3.0, 7.0, 3.5, inf, 1.0]
