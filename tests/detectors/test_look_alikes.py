"""An image's score is compared with what the training images most like it score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch import SoftPatch
from softpatch.detectors.look_alikes import ALIKE, KEPT, MOST, LookAlikes
from softpatch.export.graph import BankScores
from tests.detectors.tables import learn

OPTIONS: dict[str, Any] = {"dimension": 8, "coreset_ratio": 1.0, "distance": "euclidean"}


def some(count: int, seed: int = 0) -> LookAlikes:
    generator = torch.Generator().manual_seed(seed)
    return LookAlikes(
        torch.randn(count, 8, generator=generator),
        1 + torch.rand(count, generator=generator),
        torch.arange(count),
    )


def by_hand(look_alikes: LookAlikes, look: Tensor, image: int | None) -> float:
    """The definition, one image at a time, in float64."""
    looks, scores = look_alikes.looks.double().numpy(), look_alikes.scores.double().numpy()
    apart = np.linalg.norm(looks - look.double().numpy(), axis=1)
    others = [at for at in np.argsort(apart) if int(look_alikes.images[at]) != image]
    usual = np.sort(scores[others[:ALIKE]])[(len(others[:ALIKE]) - 1) // 2]
    everywhere = np.sort(scores[others])[(len(others) - 1) // 2]
    return float(np.clip(usual / everywhere, 1 / MOST, MOST))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 90), st.integers(0, 1000))
def test_the_allowance_is_its_definition(count: int, seed: int) -> None:
    look_alikes = some(count, seed)
    new = torch.randn(5, 8, generator=torch.Generator().manual_seed(seed + 1))
    of_new = [by_hand(look_alikes, look, None) for look in new]
    np.testing.assert_allclose(look_alikes.allowance(new), of_new, rtol=1e-6)
    own = look_alikes.allowance(look_alikes.looks, look_alikes.images)
    of_own = [by_hand(look_alikes, look, at) for at, look in enumerate(look_alikes.looks)]
    np.testing.assert_allclose(own, of_own, rtol=1e-6)


def test_few_training_images_change_no_score() -> None:
    new = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    few = some(ALIKE)
    assert few.allowance(new).tolist() == [1, 1, 1, 1]
    assert set(few.allowance(few.looks, few.images).tolist()) == {1}
    alone = some(1)
    assert alone.allowance(alone.looks, alone.images).tolist() == [1]
    same = LookAlikes(torch.zeros(40, 8), torch.zeros(40), torch.arange(40))
    assert same.allowance(new).tolist() == [1, 1, 1, 1]


def test_no_more_are_kept_than_are_said_and_none_that_tells_nothing() -> None:
    scores = torch.rand(1200)
    scores[::3] = torch.inf
    kept = LookAlikes.of(torch.randn(1200, 8), scores, torch.arange(1200))
    assert len(kept.looks) == len(kept.scores) == len(kept.images) == KEPT
    assert bool(kept.scores.isfinite().all())
    assert torch.equal(scores[kept.images], kept.scores)


def finishes(count: int, seed: int) -> Tensor:
    """Fine ones, then coarse ones whose patches differ half as much again, and look another way."""
    generator = torch.Generator().manual_seed(seed)
    place = 4 * torch.randn(1, 6, 6, 8, generator=torch.Generator().manual_seed(99))
    both = 0.3 * torch.randn(2 * count, 6, 6, 8, generator=generator)
    both[count:] = 1.15 * both[count:] + 3
    return place + both


def test_good_ones_of_a_coarse_finish_score_no_more_than_those_of_a_fine_one() -> None:
    soft = learn(SoftPatch(**OPTIONS), finishes(60, seed=0))
    new = finishes(60, seed=1).flatten(1, 2)
    patches = soft.learned_.score(new)
    plain, compared = patches.amax(dim=1), soft.learned_.image_scores(new, patches)

    def apart(scores: Tensor) -> float:
        return float(scores[60:].median() / scores[:60].median())

    assert apart(plain) > 1.1
    assert abs(apart(compared) - 1) < 0.03
    look_alikes = soft.learned_.look_alikes
    assert look_alikes is not None
    assert torch.equal(compared, plain / look_alikes.allowance(new.mean(dim=1)))


def test_held_out_scores_are_compared_in_the_same_way() -> None:
    soft = learn(SoftPatch(**OPTIONS), finishes(60, seed=0))
    held_out = soft.learned_.calibration.held_out
    assert held_out is not None
    assert abs(float(held_out[60:].median() / held_out[:60].median()) - 1) < 0.05


def test_bad_ones_that_are_alike_do_not_excuse_each_other() -> None:
    good, bad = some(80), some(40, seed=1)
    both = LookAlikes(
        torch.cat([good.looks, bad.looks + 9]),
        torch.cat([good.scores, 4 * bad.scores]),
        torch.arange(120),
    )
    compared = both.scores / both.allowance(both.looks, both.images)
    assert float(compared[80:].min()) > float(compared[:80].max())


def test_those_of_two_models_are_joined_in_their_shares() -> None:
    one, other = some(40), some(20, seed=1)
    both = one.joined(other, 40 + torch.arange(20), share=1 / 3, draw=0)
    assert both.images.tolist() == list(range(60))
    assert torch.equal(both.looks, torch.cat([one.looks, other.looks]))
    full = some(KEPT).joined(some(KEPT, seed=1), KEPT + torch.arange(KEPT), 0.5, draw=0)
    assert len(full.looks) == len(full.scores) == KEPT
    assert abs(int((full.images < KEPT).sum()) - KEPT / 2) <= 1


def test_a_model_file_holds_them() -> None:
    soft = learn(SoftPatch(**OPTIONS), finishes(30, seed=0))
    look_alikes = soft.learned_.look_alikes
    assert look_alikes is not None
    again = LookAlikes.restored(soft.learned_.tensors(), dimension=8, images=60)
    assert again is not None
    new = finishes(5, seed=1).flatten(1, 2).mean(dim=1)
    assert torch.equal(again.allowance(new), look_alikes.allowance(new))
    assert LookAlikes.restored({}, dimension=8, images=60) is None


@pytest.mark.parametrize(
    "damaged",
    [
        {"looks": torch.zeros(60, 7)},
        {"looks": torch.zeros(0, 8)},
        {"looks": torch.full((60, 8), 1e30)},
        {"looks": torch.zeros(60, 8, dtype=torch.float64)},
        {"looks_scores": torch.ones(59)},
        {"looks_scores": -torch.ones(60)},
        {"looks_images": torch.full((60,), 60)},
        {"looks_images": torch.full((60,), -1)},
        {"looks_images": torch.zeros(60)},
    ],
)
def test_what_a_model_file_cannot_hold_is_refused(damaged: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="look-alikes"):
        LookAlikes.restored(some(60).tensors() | damaged, dimension=8, images=60)


def test_an_exported_model_compares_with_them_too() -> None:
    soft = learn(SoftPatch(**OPTIONS), finishes(60, seed=0))
    new = finishes(10, seed=1).flatten(1, 2)
    scores = soft.learned_.score(new)
    patches, images = BankScores(soft.learned_)(new)
    torch.testing.assert_close(patches, scores, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(images, soft.learned_.image_scores(new, scores), rtol=1e-4, atol=0)
    assert not torch.equal(images, patches.amax(dim=1))
