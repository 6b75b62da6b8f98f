"""A random ensemble: the median over small random banks, from a fit to a model file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from softpatch import ModelFileError, PatchCore, RandomBank, RandomEnsemble, UsageError, load, merge
from softpatch.bank.memory_bank import Distance
from softpatch.calling.threshold import threshold_without_labels
from softpatch.detectors.random_ensemble import LearnedEnsemble
from softpatch.export.graph import DetectorGraph
from softpatch.storage import model_file
from tests.detectors.pictures import SMALL, random_patches
from tests.detectors.tables import found_in, learn
from tests.reference.scoring import ensemble_scores

State = dict[str, Tensor]


def fitted(patches: Tensor, **options: Any) -> RandomEnsemble:
    return learn(RandomEnsemble(**options), patches)


def banks_of(detector: RandomEnsemble) -> Tensor:
    """``(b, m, D)``."""
    learned = detector.learned_
    assert isinstance(learned, LearnedEnsemble)
    return learned.banks.vectors


def drawn(detector: RandomEnsemble, patches: Tensor) -> Tensor:
    """``(b, m)``: which of ``(n, D)`` patches, all different, are in the banks."""
    return found_in(banks_of(detector), patches)


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize(("banks", "size"), [(1, 30), (3, 10), (8, 25), (2, 1)])
def test_equals_brute_force(distance: Distance, banks: int, size: int) -> None:
    patches, test = random_patches(), random_patches(images=3, seed=1)
    detector = fitted(patches, distance=distance, banks=banks, bank_size=size, seed=3)
    picks = drawn(detector, patches.flatten(0, 2))
    assert picks.shape == (banks, size)
    assert all(len(set(bank.tolist())) == size for bank in picks)
    expected = ensemble_scores(
        test.flatten(0, 2).double().numpy(),
        list(banks_of(detector).double().numpy()),
        squared=distance == "squared",
    )
    scores = detector.learned_.score(test.flatten(1, 2))
    np.testing.assert_allclose(scores.flatten().numpy(), expected, rtol=1e-5)
    images = detector.learned_.image_scores(test.flatten(1, 2), scores)
    assert torch.equal(images, scores.amax(dim=1))


def test_one_bank_is_a_random_bank() -> None:
    patches, test = random_patches(), random_patches(images=3, seed=1).flatten(1, 2)
    one = fitted(patches, banks=1, bank_size=40, seed=5, max_false_alarms=0.2)
    alone = RandomBank(coreset_ratio=1.0, bank_size=40, seed=5, max_false_alarms=0.2)
    learn(alone, patches)
    assert torch.equal(banks_of(one)[0], alone.bank_.vectors)
    assert torch.equal(one.learned_.score(test), alone.learned_.score(test))
    assert (one.threshold_, one.normal_limit_) == (alone.threshold_, alone.normal_limit_)


def test_the_seed_decides_and_banks_differ() -> None:
    patches = random_patches()
    one, same, other = (banks_of(fitted(patches, bank_size=30, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert len({bank.numpy().tobytes() for bank in one}) == 8


def test_banks_hold_all_patches_if_there_are_fewer() -> None:
    patches = random_patches(images=2)
    assert banks_of(fitted(patches)).shape == (8, 40, 16)


def test_held_out_scores_are_those_of_banks_without_the_picture() -> None:
    patches = random_patches(images=7).flatten(1, 2)  # (N, P, D)
    image_index = torch.tensor([0, 0, 1, 2, 2, 3, 4])  # pictures of one or two tiles
    detector = RandomEnsemble(banks=4, bank_size=40, max_false_alarms=0.2)
    learn(detector, patches, image_index)
    of_bank = image_index[drawn(detector, patches.flatten(0, 1)) // patches.shape[1]]
    assert detector.held_out_ is not None
    for picture, score in enumerate(detector.held_out_.tolist()):
        others = [
            bank[of != picture].double().numpy()
            for bank, of in zip(banks_of(detector), of_bank, strict=True)
        ]
        own = patches[image_index == picture].flatten(0, 1).double().numpy()
        assert score == pytest.approx(ensemble_scores(own, others, squared=True).max(), rel=1e-5)
    chosen = threshold_without_labels(detector.held_out_.numpy(), 0.2)
    assert detector.threshold_ == chosen.value
    assert detector.promise() == chosen
    assert detector.choose_threshold(0.5).value <= chosen.value


@pytest.mark.parametrize("size", [1, 3])
def test_banks_of_few_images_give_finite_limits_and_thresholds(size: int) -> None:
    for seed in range(10):
        patches = random_patches(images=2, h=1, w=2, seed=seed)
        detector = fitted(patches, banks=2, bank_size=size, seed=seed, max_false_alarms=0.2)
        assert 0 < detector.normal_limit_ < float("inf")
        assert detector.threshold_ is not None


def test_a_defect_in_one_picture_is_not_known() -> None:
    """It may be in a bank or two; the median does not care. Farthest-first takes it."""
    patches = random_patches(images=40)
    patches[7, 2, 2] += 30
    defect = patches[7, 2, 2][None, None]
    farthest = learn(PatchCore(), patches)
    assert float(farthest.learned_.score(defect)) < 1
    for seed in range(5):
        assert float(fitted(patches, bank_size=100, seed=seed).learned_.score(defect)) > 1000


# --- the model file ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(small_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ensemble") / "part.softpatch"
    RandomEnsemble(banks=3, bank_size=20, **SMALL).fit(small_pictures).save(path)
    return path


CHANGES: dict[str, Callable[[State], object]] = {
    "missing": lambda state: state.pop("banks"),
    "fewer banks": lambda state: state.update(banks=state["banks"][1:].clone()),
    "larger": lambda s: s.update(banks=torch.cat([s["banks"], s["banks"]], dim=1)),
    "empty": lambda state: state.update(banks=state["banks"][:, :0].clone()),
    "narrower": lambda state: state.update(banks=state["banks"][..., 1:].clone()),
    "flat": lambda state: state.update(banks=state["banks"].flatten(0, 1)),
    "a number": lambda state: state.update(banks=torch.tensor(1.0)),
    "of integers": lambda state: state.update(banks=state["banks"].long()),
    "of halves": lambda state: state.update(banks=state["banks"].half()),
    "absurd": lambda state: state["banks"].view(-1)[:1].fill_(1e30),
    "held-out scores below 0": lambda state: state["held_out"].neg_(),
}


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_banks_that_disagree_are_refused(
    model: Path, tmp_path: Path, change: Callable[[State], object]
) -> None:
    header, state = model_file.read(model)
    change(state)
    model_file.write(tmp_path / "m", header, state)
    with pytest.raises(ModelFileError, match="damaged"):
        load(tmp_path / "m")


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize(
    ("name", "value"), [("banks", 0), ("banks", 2), ("banks", "3"), ("bank_size", 19)]
)
def test_options_that_disagree_are_refused(
    model: Path, tmp_path: Path, name: str, value: object
) -> None:
    header, state = model_file.read(model)
    header["parameters"][name] = value
    model_file.write(tmp_path / "m", header, state)
    with pytest.raises(ModelFileError, match="damaged"):
        load(tmp_path / "m")


@pytest.mark.usefixtures("one_backbone")
def test_what_it_does_not_do_says_so(model: Path) -> None:
    detector: Any = load(model, RandomEnsemble)
    with pytest.raises(UsageError, match="a random-ensemble model cannot be merged"):
        merge(detector, detector)
    with pytest.raises(UsageError, match="a random-ensemble model cannot be exported"):
        DetectorGraph(detector, None)
    with pytest.raises(UsageError, match="banks must be at least 1, got 0"):
        RandomEnsemble(banks=0)
