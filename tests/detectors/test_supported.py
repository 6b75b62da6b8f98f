"""A bank that trusts no vector alone: recurring defects are found, clean sets lose nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch import PatchCore, SoftPatch
from softpatch.bank.floor_rule import FloorRule
from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors import strictness, supported
from softpatch.detectors.bank_options import BankOptions
from softpatch.detectors.calibration import NORMAL_SAMPLE
from softpatch.detectors.run import Run
from softpatch.detectors.supported import (
    MOST_SCALE,
    SHARE,
    WITHHELD,
    Unseen,
    support_bank,
    withheld_images,
)
from softpatch.detectors.update import admit_all, update
from softpatch.noise.suspicion import worst_count
from tests.detectors.tables import learn, table_of

OPTIONS: dict[str, Any] = {"dimension": 8, "coreset_ratio": 1.0, "distance": "euclidean"}


def parts(count: int, seed: int = 0, side: int = 4) -> Tensor:
    """``(count, side, side, 8)``: each place shows its own, a little different in every picture."""
    generator = torch.Generator().manual_seed(seed)
    place = 4 * torch.randn(1, side, side, 8, generator=torch.Generator().manual_seed(99))
    return place + 0.3 * torch.randn(count, side, side, 8, generator=generator)


def with_defects(patches: Tensor, images: list[int]) -> Tensor:
    """The same with one defect, hardly different, at different places of some pictures."""
    patches, defect = patches.clone(), torch.full((8,), 9.0)
    for number, image in enumerate(images):
        patches[image, number % 4, 1] = defect + 0.05 * number
    return patches


def scores(detector: Any, patches: Tensor) -> Tensor:
    found: Tensor = detector.learned_.score(patches.flatten(1, 2)).amax(dim=1)
    return found


def test_a_defect_that_is_in_the_training_set_is_found_all_the_same() -> None:
    training, good = with_defects(parts(20), [3]), parts(20, seed=1)
    soft, plain = learn(SoftPatch(**OPTIONS), training), learn(PatchCore(**OPTIONS), training)
    assert scores(plain, training[3:4]) == 0
    assert scores(soft, training[3:4]) > 3 * scores(soft, good).max()
    assert soft.suspects()[0][0] == "3"


def test_a_defect_that_recurs_is_found_where_places_show_the_same() -> None:
    bad = {0: (0, 0), 9: (0, 5), 17: (5, 0), 25: (5, 5), 33: (9, 9), 41: (9, 2)}
    training = parts(60, side=10)
    for number, (image, place) in enumerate(bad.items()):
        training[image][place] = 9 + 0.05 * number
    soft = learn(SoftPatch(**OPTIONS), training)
    assert soft.floors_ is not None
    assert soft.floors_.near
    assert {int(name) for name, _ in soft.suspects()[:6]} == set(bad)
    good = scores(soft, parts(20, seed=1, side=10))
    assert scores(soft, training[list(bad)]).min() > 3 * good.max()


def test_good_pictures_score_as_without_floors() -> None:
    training, good = parts(160), parts(80, seed=1)
    soft, plain = learn(SoftPatch(**OPTIONS), training), learn(PatchCore(**OPTIONS), training)
    with_floors, without = scores(soft, good), scores(plain, good)
    assert (with_floors >= without).all()
    assert (with_floors / without).quantile(0.75) < 1.05


def test_floors_that_cost_good_pictures_are_not_taken() -> None:
    """Of parts that are photographed twice, no patch has its like in a third picture."""
    generator = torch.Generator().manual_seed(5)
    part = 20 * torch.randn(20, 4, 4, 8, generator=generator)
    twice = part.repeat_interleave(2, dim=0)
    training = twice + 0.1 * torch.randn(40, 4, 4, 8, generator=generator)
    assert learn(SoftPatch(**OPTIONS), training).floors_ == strictness.NO_FLOORS


def test_scores_are_the_reachability_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the definition, of a bank with everything in it."""
    training, new = parts(12), parts(5, seed=1)
    for near in (False, True):
        monkeypatch.setattr(supported, "RULES", (FloorRule(2, near, 0.3),))
        monkeypatch.setattr(strictness, "FREE", 1e9)
        detector = learn(SoftPatch(**OPTIONS), training)
        floors = detector.learned_.floors
        assert floors is not None
        assert floors.rule == FloorRule(2, near, 0.3)
        vectors = detector.bank_.vectors.double()
        patches = training.double()  # (12, 4, 4, 8)
        expected_floors = []
        support = floors.support
        for vector, own, place in zip(
            vectors, support.own.tolist(), support.places.tolist(), strict=True
        ):
            row, column = divmod(place, 4)
            window = patches[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            seen = window if near else patches
            to = (seen - vector).square().sum(dim=3).sqrt().amin(dim=(1, 2))
            to[own] = torch.inf
            floor = (to.sort().values[1] ** 2 + (0.3 * floors.spacing) ** 2).sqrt()
            expected_floors.append(floor.clamp(min=0.85 * floors.spacing))
        distance = torch.cdist(new.flatten(0, 2).double(), vectors)
        expected = torch.maximum(distance, torch.stack(expected_floors)).amin(dim=1).view(5, -1)
        found = detector.learned_.score(new.flatten(1, 2))
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.1, 1.0])
def test_held_out_scores_are_those_without_the_pictures_vectors_and_support(ratio: float) -> None:
    """In place of each of its vectors is the nearest patch of another picture."""
    training = with_defects(parts(20), [2, 7])
    options = OPTIONS | {"coreset_ratio": ratio}
    detector = learn(SoftPatch(**options, max_false_alarms=0.1), training)
    floors, held_out = detector.learned_.floors, detector.held_out_
    assert floors is not None
    assert held_out is not None
    flat, of = training.flatten(0, 2), torch.arange(20).repeat_interleave(16)
    for image in range(20):
        own = floors.support.own == image
        vectors = detector.bank_.vectors.clone()
        elsewhere = flat[of != image]
        vectors[own] = elsewhere[torch.cdist(vectors[own], elsewhere).argmin(dim=1)]
        distance = torch.cdist(training[image].flatten(0, 1), vectors)
        least = floors.without(image)
        least[own] = floors.of_stand_ins()[own]
        reached = torch.maximum(distance, least).amin(dim=1)
        scale = detector.learned_.calibration.scale
        assert float(held_out[image]) == pytest.approx(scale * float(reached.max()), rel=1e-3)


@pytest.mark.parametrize("count", [20, 40, 60, 100])
def test_held_out_scores_of_very_alike_parts_are_those_of_new_ones(count: int) -> None:
    """One vector stands for a place; without it a picture would meet a hole, as no new one does."""
    place = 4 * torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(99))
    noise = 0.01 * torch.randn(count + 200, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    training, new = (place + noise).tensor_split([count])
    options = OPTIONS | {"coreset_ratio": 1.0 / count}
    detector = learn(SoftPatch(**options, max_false_alarms=0.01), training)
    worst = float(scores(detector, new).max())
    assert detector.threshold_ is not None
    assert 0.7 * worst < detector.threshold_ < 1.5 * worst
    assert scores(detector, with_defects(new[:8], list(range(8)))).min() > detector.threshold_


def test_held_out_scores_are_on_the_scale_of_unseen_pictures() -> None:
    unseen = Unseen(torch.tensor([0, 2, 3]), torch.tensor([2.2, 3.0, 4.4]))
    held_out = torch.tensor([2.0, 9.0, 3.0, 4.0])
    assert unseen.scale(1.05 * held_out) == pytest.approx(1.1 / 1.05)
    assert unseen.scale(held_out / 3) == MOST_SCALE
    assert unseen.scale(2 * held_out) == 1
    assert unseen.scale(torch.zeros(4)) == 1  # ratios that are infinite do not count
    training = parts(80)
    detector = learn(SoftPatch(**OPTIONS, max_false_alarms=0.1), training)
    held = detector.held_out_
    assert held is not None
    new = scores(detector, parts(200, seed=1))
    assert 0.95 < float(held.median() / new.median()) < 1.15


def test_so_are_those_of_an_update() -> None:
    """New parts that look different, and very alike among themselves."""
    place = 4 * torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(99))
    noise = 0.01 * torch.randn(300, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    training, more, new = (place + noise).tensor_split([40, 100])
    options = OPTIONS | {"coreset_ratio": 1 / 60}
    detector = learn(SoftPatch(**options, max_false_alarms=0.01), training)
    learned, table = detector.learned_, table_of(more + 20)
    after = update(learned, table, admit_all(learned, table), 0.0, Run(ScratchSpace()))
    held_out, of = after.calibration.held_out, after.calibration.held_out_of
    assert held_out is not None
    assert of is not None
    worst = after.score((new + 20).flatten(1, 2)).amax(dim=1).max()
    assert held_out[of[:, 0] >= 40].max() < 1.5 * worst


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("distance", ["squared", "euclidean"])
def test_the_worst_held_out_scores_are_those_of_all(distance: Any, tiles: bool) -> None:
    patches = with_defects(parts(24, side=12), [2, 7])
    table = table_of(patches.flatten(1, 2), torch.arange(24) // 2) if tiles else table_of(patches)
    options, run = BankOptions(0.3, 10_000, distance, None, 0), Run(ScratchSpace())
    supported = support_bank(table, options, run)
    every = supported.held_out_scores(table, options, run)
    found = supported.worst_held_out(table, options, run)
    assert found.worst.shape == (24, worst_count(144))
    torch.testing.assert_close(found.worst, every.topk(found.worst.shape[1], dim=1).values)
    torch.testing.assert_close(found.looks, table.patches.mean(dim=1))
    assert len(found.sample) == min(NORMAL_SAMPLE, every.numel())
    torch.testing.assert_close(found.sample, every.flatten())  # there are fewer patches than that
    assert torch.equal(found.sample_of, table.image_index.repeat_interleave(144))
    largest = every.amax(dim=1)
    if tiles:
        largest = largest.view(12, 2).amax(dim=1)
    torch.testing.assert_close(found.image_scores(table.image_index, None), largest)


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_a_few_pictures_are_enough(count: int) -> None:
    detector = learn(SoftPatch(**OPTIONS, max_false_alarms=0.5), parts(count))
    assert scores(detector, parts(3, seed=1)).isfinite().all()
    assert detector.suspicion_.isfinite().all()


def test_pictures_in_tiles_are_one_picture() -> None:
    """A defect in both tiles of a picture has no support in others."""
    tiles = with_defects(parts(32), [4, 5])
    of = torch.arange(32) // 2
    detector = learn(SoftPatch(**OPTIONS), tiles, of)
    assert scores(detector, tiles[4:6]).min() > 3 * scores(detector, parts(8, seed=1)).max()
    assert detector.suspects()[0][0] == "2"


@settings(deadline=None, max_examples=20)
@given(images=st.integers(1, 500))
def test_those_withheld_are_spread_evenly_and_few(images: int) -> None:
    withheld = withheld_images(images)
    assert len(withheld) == min(WITHHELD, images // SHARE)
    assert len(set(withheld.tolist())) == len(withheld)
    assert withheld.sort().values.equal(withheld)
    if len(withheld):
        assert int(withheld.max()) < images
        gaps = withheld.diff(prepend=torch.tensor([0]), append=torch.tensor([images - 1]))
        assert int(gaps.max()) <= images // len(withheld) + 1


def test_withheld_pictures_end_up_in_the_bank_farthest_first() -> None:
    patches = parts(30)
    options = BankOptions(0.3, 10_000, "euclidean", None, 0)
    bank = support_bank(table_of(patches), options, Run(ScratchSpace()))
    own = bank.floors.support.own
    assert len(bank.bank) == int(0.3 * 30 * 16)
    assert set(withheld_images(30).tolist()) <= set(own.tolist())
    assert torch.equal(bank.bank.vectors, patches.flatten(0, 2)[bank.picks])
    assert len(set(bank.picks.tolist())) == len(bank.picks)
