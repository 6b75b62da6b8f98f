"""A random bank: PatchCore's scores with patches drawn uniformly, also by updates and merges."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from softpatch import PatchCore, RandomBank
from softpatch.bank.memory_bank import Distance
from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors.learned_bank import LearnedBank
from softpatch.detectors.merge import merge_learned
from softpatch.detectors.run import Run
from softpatch.detectors.update import admit_all, update
from tests.detectors.pictures import random_patches
from tests.detectors.tables import found_in, learn, table_of
from tests.reference.scoring import bank_scores


def fitted(patches: Tensor, **options: Any) -> RandomBank:
    return learn(RandomBank(**options), patches)


def drawn(learned: LearnedBank, patches: Tensor) -> list[int]:
    """Which of ``(N, h, w, D)`` patches, all different, are in the bank."""
    indices: list[int] = found_in(learned.bank.vectors, patches.flatten(0, 2)).tolist()
    return indices


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize(("ratio", "size"), [(0.1, 20_000), (1.0, 20_000), (0.5, 30)])
def test_equals_brute_force_over_patches_drawn_without_repeats(
    distance: Distance, ratio: float, size: int
) -> None:
    patches, test = random_patches(), random_patches(images=3, seed=1)
    detector = fitted(patches, distance=distance, coreset_ratio=ratio, bank_size=size, seed=3)
    picks = drawn(detector.learned_, patches)
    assert len(picks) == len(set(picks)) == min(size, int(ratio * 240))
    expected = bank_scores(
        test.flatten(0, 2).double().numpy(),
        patches.flatten(0, 2)[picks].double().numpy(),
        np.ones(len(picks)),
        squared=distance == "squared",
    )
    scores = detector.learned_.score(test.flatten(1, 2))
    np.testing.assert_allclose(scores.flatten().numpy(), expected, rtol=1e-5)


def test_the_seed_decides() -> None:
    patches = random_patches()
    one, same, other = (fitted(patches, seed=seed).bank_.vectors for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_with_all_patches_it_is_patchcore() -> None:
    patches, test = random_patches(), random_patches(images=3, seed=1).flatten(1, 2)
    options: dict[str, Any] = {"coreset_ratio": 1.0, "reweight": True, "max_false_alarms": 0.2}
    random, farthest = fitted(patches, **options), learn(PatchCore(**options), patches)
    scores = random.learned_.score(test)
    torch.testing.assert_close(scores, farthest.learned_.score(test))
    torch.testing.assert_close(
        random.learned_.image_scores(test, scores), farthest.learned_.image_scores(test, scores)
    )
    assert random.threshold_ == pytest.approx(farthest.threshold_)


def test_a_defect_that_farthest_first_takes_is_mostly_left_out() -> None:
    patches = random_patches(images=40)
    patches[7, 2, 2] += 30
    defect = patches[7, 2, 2][None, None]
    farthest, random = (
        learn(PatchCore(coreset_ratio=0.05), patches),
        fitted(patches, coreset_ratio=0.05, seed=1),
    )
    assert float(farthest.learned_.score(defect)) < 1
    assert float(random.learned_.score(defect)) > 1000


# --- what comes later ----------------------------------------------------------------------------


def updated(seed: int, size: int, forget: float = 0.0) -> Counter[int]:
    """How many of the bank are from each of 4 images and 2 + 1 new ones, learned in two updates."""
    patches = random_patches(images=7)
    options: dict[str, Any] = {"coreset_ratio": 0.5, "bank_size": size, "seed": seed}
    learned = fitted(patches[:4], **options, max_false_alarms=None).learned_
    run = Run(ScratchSpace())
    for part in (patches[4:6], patches[6:]):
        table = table_of(part)
        learned = update(learned, table, admit_all(learned, table), forget, run)
    picks = drawn(learned, patches)
    assert len(picks) == len(set(picks))
    return Counter(pick // 20 for pick in picks)


def test_an_update_draws_as_a_fit_on_all_would() -> None:
    """40 of 80 old ones, of which there is room for 35; then 20 of 40 and 10 of 20 new ones."""
    roomy, tight = Counter[int](), Counter[int]()
    for seed in range(120):
        found = updated(seed, size=20_000)
        assert sum(found[image] for image in range(4)) == 40
        assert (found[4] + found[5], found[6]) == (20, 10)
        roomy += found
        found = updated(seed, size=35)
        assert found.total() == 35
        tight += found
    for counts, expected in ((roomy, 10.0), (tight, 5.0)):
        mean = [counts[image] / 120 for image in range(7)]
        assert mean == pytest.approx([expected] * 7, rel=0.12)


def test_an_update_forgets_first() -> None:
    found = updated(0, size=20_000, forget=0.5)
    assert sum(found[image] for image in range(4)) < 20
    assert found[6] == 10


def test_a_merge_draws_from_both_by_how_many_images_they_have_seen() -> None:
    patches, run = random_patches(images=8), Run(ScratchSpace())
    share, apart = [], 6 + torch.arange(2)
    for seed in range(60):
        options: dict[str, Any] = {"coreset_ratio": 1.0, "bank_size": 24, "seed": seed}
        one, other = (
            fitted(part, **options, max_false_alarms=None).learned_
            for part in (patches[:6], patches[6:])
        )
        picks = drawn(merge_learned(one, other, apart, 24, run), patches)
        assert len(picks) == len(set(picks)) == 24
        share.append(np.mean([pick < 6 * 20 for pick in picks]))
        assert len(merge_learned(one, other, apart, 100, run).bank) == 48
    assert np.mean(share) == pytest.approx(6 / 8, abs=0.03)
