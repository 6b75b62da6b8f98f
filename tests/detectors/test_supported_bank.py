"""A bank that trusts no vector alone: recurring defects are found, clean sets lose nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from softpatch import PatchCore, SupportedBank, UsageError, load, merge
from tests.detectors.tables import learn

OPTIONS: dict[str, Any] = {"dimension": 8, "coreset_ratio": 1.0, "distance": "euclidean"}
SMALL: dict[str, Any] = {"resize": 64, "crop": 48, "dimension": 32}


def parts(count: int, seed: int = 0) -> Tensor:
    """``(count, 4, 4, 8)``: each place shows its own, a little different in every picture."""
    generator = torch.Generator().manual_seed(seed)
    place = 4 * torch.randn(1, 4, 4, 8, generator=torch.Generator().manual_seed(99))
    return place + 0.3 * torch.randn(count, 4, 4, 8, generator=generator)


def with_defects(patches: Tensor, images: list[int]) -> Tensor:
    """The same with one defect, hardly different, at different places of some pictures."""
    patches, defect = patches.clone(), torch.full((8,), 9.0)
    for number, image in enumerate(images):
        patches[image, number % 4, 1] = defect + 0.05 * number
    return patches


def scores(detector: Any, patches: Tensor) -> Tensor:
    flat = patches.flatten(1, 2)
    found: Tensor = detector.learned_.score(flat).amax(dim=1)
    return found


def test_a_defect_that_is_in_the_training_set_is_found_all_the_same() -> None:
    training = with_defects(parts(20), [3])
    good = parts(20, seed=1)
    supported = learn(SupportedBank(**OPTIONS), training)
    plain = learn(PatchCore(**OPTIONS), training)
    assert scores(plain, training[3:4]) == 0
    assert scores(supported, training[3:4]) > 3 * scores(supported, good).max()


def test_good_pictures_score_as_without_floors() -> None:
    training, good = parts(30), parts(30, seed=1)
    supported = learn(SupportedBank(**OPTIONS), training)
    plain = learn(PatchCore(**OPTIONS), training)
    with_floors, without = scores(supported, good), scores(plain, good)
    assert (with_floors >= without).all()
    assert (with_floors / without).median() < 1.01


def test_scores_are_the_reachability_distances() -> None:
    training, new = parts(12), parts(5, seed=1)
    detector = learn(SupportedBank(**OPTIONS), training)
    support = detector.learned_.support
    assert support is not None
    vectors = detector.bank_.vectors.double()
    patches = training.flatten(1, 2).double()
    floors = []
    for vector, own in zip(vectors, support.own.tolist(), strict=True):
        others = [
            (patches[image] - vector).square().sum(dim=1).sqrt().min()
            for image in range(12)
            if image != own
        ]
        floors.append(torch.stack(others).sort().values[support.rank - 1])
    distance = torch.cdist(new.flatten(0, 2).double(), vectors)
    expected = torch.maximum(distance, torch.stack(floors)).amin(dim=1).view(5, -1)
    found = detector.learned_.score(new.flatten(1, 2))
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_held_out_scores_are_those_of_a_fit_without_the_picture() -> None:
    """With every patch in the bank, and the rank as it is: floors and vectors, both without it."""
    training = with_defects(parts(10), [2, 7])
    detector = learn(SupportedBank(**OPTIONS, max_false_alarms=0.1), training)
    support, held_out = detector.learned_.support, detector.held_out_
    assert support is not None
    assert held_out is not None
    patches = training.flatten(1, 2).double()
    for image in range(10):
        others = [other for other in range(10) if other != image]
        bank = patches[others].flatten(0, 1)
        to = torch.stack([torch.cdist(bank, patches[other]).amin(dim=1) for other in others], dim=1)
        to[torch.arange(len(bank)), torch.arange(9).repeat_interleave(16)] = torch.inf
        floors = to.sort(dim=1).values[:, support.rank - 1]
        floors = floors.where(floors.isfinite(), to.where(to.isfinite(), 0).amax(dim=1))
        reached = torch.maximum(torch.cdist(patches[image], bank), floors).amin(dim=1)
        assert float(held_out[image]) == pytest.approx(float(reached.max()), rel=1e-3)


@pytest.mark.parametrize("count", [2, 3])
def test_a_few_pictures_are_enough(count: int) -> None:
    detector = learn(SupportedBank(**OPTIONS, max_false_alarms=0.5), parts(count))
    assert scores(detector, parts(3, seed=1)).isfinite().all()


def test_pictures_in_tiles_are_one_picture() -> None:
    """A defect in both tiles of a picture has no support in others."""
    tiles = with_defects(parts(16), [4, 5])
    of = torch.arange(16) // 2
    detector = learn(SupportedBank(**OPTIONS), tiles, of)
    assert scores(detector, tiles[4:6]).min() > 3 * scores(detector, parts(8, seed=1)).max()


@pytest.mark.usefixtures("one_backbone")
def test_a_model_says_what_it_cannot_do(small_pictures: Path, tmp_path: Path) -> None:
    fitted = SupportedBank(**SMALL).fit(small_pictures)
    fitted.save(tmp_path / "part.softpatch")
    back = load(tmp_path / "part.softpatch")
    assert isinstance(back, SupportedBank)
    with pytest.raises(UsageError, match="cannot be updated"):
        back.update(small_pictures)
    with pytest.raises(UsageError, match="cannot be merged"):
        merge(fitted, back)
