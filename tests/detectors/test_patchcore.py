"""PatchCore equals farthest-first coreset plus nearest-neighbour distance; and its eq. 7."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from softpatch import PatchCore
from softpatch.bank.memory_bank import Distance, MemoryBank
from softpatch.detectors.bank_options import reweighted_scores
from tests.detectors.pictures import random_patches
from tests.detectors.tables import learn
from tests.reference.coreset import greedy_k_center
from tests.reference.scoring import bank_scores, reweighted

both_distances = pytest.mark.parametrize("distance", ["squared", "euclidean"])


def fitted(patches: Tensor, **options: Any) -> PatchCore:
    return learn(PatchCore(**options), patches)


@both_distances
@pytest.mark.parametrize(("ratio", "seed"), [(0.1, 0), (0.25, 7), (1.0, 1)])
def test_equals_the_algorithm(distance: Distance, ratio: float, seed: int) -> None:
    patches, test = random_patches(), random_patches(images=3, seed=1)
    flat = patches.flatten(0, 2)
    picks = greedy_k_center(flat, int(ratio * len(flat)), seed=seed)
    detector = fitted(patches, distance=distance, coreset_ratio=ratio, seed=seed)
    assert torch.equal(detector.bank_.vectors, flat[picks])
    assert torch.equal(detector.bank_.weights, torch.ones(len(picks)))
    expected = bank_scores(
        test.flatten(0, 2).double().numpy(),
        flat[picks].double().numpy(),
        np.ones(len(picks)),
        squared=distance == "squared",
    )
    scores = detector.learned_.score(test.flatten(1, 2))
    assert scores.shape == (len(test), test.shape[1] * test.shape[2])
    np.testing.assert_allclose(scores.flatten().numpy(), expected, rtol=1e-5)


def test_the_bank_holds_at_least_one_patch() -> None:
    assert len(fitted(random_patches(images=2), coreset_ratio=0.001).bank_) == 1


def test_a_lone_vector_has_none_to_be_reweighted_by() -> None:
    patches, test = random_patches(images=2), random_patches(images=3, seed=1).flatten(1, 2)
    learned = fitted(patches, bank_size=1, reweight=True).learned_
    scores = learned.score(test)
    assert torch.equal(learned.image_scores(test, scores), scores.amax(dim=1))
    assert (scores > 0).all()


def test_normal_limit_of_a_bank_from_one_image_is_finite() -> None:
    """That image's own patches have nothing left to be compared with."""
    detector = fitted(random_patches(images=2), coreset_ratio=0.001)
    assert 0 < detector.normal_limit_ < float("inf")


@both_distances
@pytest.mark.parametrize("bank_size", [1, 5, 9, 40])
def test_reweighting_is_equation_7(distance: Distance, bank_size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(bank_size, 6, generator=generator)
    patches = torch.randn(4, 11, 6, generator=generator)  # (B, P, D)
    bank = MemoryBank(vectors, torch.ones(bank_size))
    scores = bank.score(patches.flatten(0, 1), distance).view(4, 11)
    expected = [
        reweighted(one, vectors.double().numpy(), squared=distance == "squared")
        for one in patches.double().numpy()
    ]
    atol = 1e-6 * float(scores.max())  # 1 - share cancels where the share is near 1
    np.testing.assert_allclose(
        reweighted_scores(bank, patches, scores).numpy(), expected, rtol=1e-4, atol=atol
    )


@both_distances
@pytest.mark.parametrize("bank_size", [1, 2, 9])
def test_reweighted_scores_are_never_negative(distance: Distance, bank_size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    bank = MemoryBank(torch.randn(bank_size, 6, generator=generator), torch.ones(bank_size))
    patches = torch.randn(200, 1, 6, generator=generator)
    scores = bank.score(patches[:, 0], distance).view(200, 1)
    assert float(reweighted_scores(bank, patches, scores).min()) >= 0


def test_reweighting_far_from_the_bank_does_not_overflow() -> None:
    """exp(1000) is infinite, the share is not: two vectors equally far share it equally."""
    vectors = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    bank = MemoryBank(vectors, torch.ones(2))
    patches = torch.tensor([[[1000.0, 0.0]]])
    scores = bank.score(patches[0], "euclidean").view(1, 1)
    assert reweighted_scores(bank, patches, scores).item() == pytest.approx(500, rel=1e-3)


def test_reweighting_is_off_unless_asked_for() -> None:
    patches, test = random_patches(), random_patches(images=3, seed=1)
    plain, reweighting = fitted(patches), fitted(patches, reweight=True)
    scores = plain.learned_.score(test.flatten(1, 2))
    assert torch.equal(plain.learned_.image_scores(test.flatten(1, 2), scores), scores.amax(dim=1))
    bank = plain.bank_.vectors.double().numpy()
    expected = [reweighted(one.flatten(0, 1).double().numpy(), bank, squared=True) for one in test]
    np.testing.assert_allclose(
        reweighting.learned_.image_scores(test.flatten(1, 2), scores).numpy(), expected, rtol=1e-4
    )


def test_reweighted_held_out_scores_pass_over_an_images_own_vectors() -> None:
    patches = random_patches(images=7)
    detector = fitted(patches, reweight=True, coreset_ratio=0.5, max_false_alarms=0.2)
    flat = patches.flatten(0, 2)
    image = torch.cdist(detector.bank_.vectors, flat).argmin(dim=1) // 20  # 4 x 5 patches each
    expected = [
        reweighted(
            one.flatten(0, 1).double().numpy(),
            detector.bank_.vectors[image != index].double().numpy(),
            squared=True,
        )
        for index, one in enumerate(patches)
    ]
    assert detector.held_out_ is not None
    np.testing.assert_allclose(detector.held_out_.numpy(), expected, rtol=1e-4)
