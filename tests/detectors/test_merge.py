"""Banks fitted apart: together they cover what each has covered, within a stated radius."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch import PatchCore, SoftPatch, load, merge
from softpatch.bank.memory_bank import MemoryBank
from softpatch.detectors import BankDetector, RandomBank
from softpatch.detectors.merge import covering_radius
from softpatch.errors import NotFittedError, UsageError
from tests.detectors.pictures import SMALL, new_pictures, predictions
from tests.detectors.tables import learn
from tests.reference.coreset import greedy_k_center

pytestmark = pytest.mark.usefixtures("one_backbone")

OPTIONS: dict[str, Any] = {**SMALL, "dimension": 64, "max_false_alarms": 0.2}
# The floors of a merged bank know the other model's pictures by way of its vectors.
WIDER = 1.1


def fitted_on(patches: Tensor, size: int) -> PatchCore:
    """``(N, P, D)``; without a network."""
    detector = PatchCore(**SMALL, dimension=patches.shape[2], coreset_ratio=1.0, bank_size=size)
    return learn(detector, patches)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 24), st.booleans())
def test_radius_bound(seed: int, size: int, apart: bool) -> None:
    """r + rho by the triangle inequality, and four times the optimum, which greedy on all of the
    patches is at most twice as good as ours is bad against."""
    generator = torch.Generator().manual_seed(seed)
    patches = [torch.randn(6, 20, 8, generator=generator) for _ in range(2)]
    patches[1] += 5.0 if apart else 0.0
    models = [fitted_on(part, size) for part in patches]
    merged = merge(*models)
    assert len(merged.bank_) == size
    own = [
        covering_radius(part.flatten(0, 1), model.bank_)
        for part, model in zip(patches, models, strict=True)
    ]
    between = max(covering_radius(model.bank_.vectors, merged.bank_) for model in models)
    every = torch.cat(patches).flatten(0, 1)
    radius = covering_radius(every, merged.bank_)
    assert radius <= (max(own) + between) * (1 + 1e-5)
    picks = greedy_k_center(every, size)
    at_once = covering_radius(every, MemoryBank(every[picks], torch.ones(size)))
    assert radius <= 4 * at_once * (1 + 1e-5)


def test_small_banks_are_kept_whole() -> None:
    patches = torch.randn(4, 10, 8, generator=torch.Generator().manual_seed(0))
    one, other = fitted_on(patches[:2], 15), fitted_on(patches[2:], 15)
    merged = merge(one, other, bank_size=100)
    vectors = {row.numpy().tobytes() for row in merged.bank_.vectors}
    assert vectors == {
        row.numpy().tobytes() for row in torch.cat([one.bank_.vectors, other.bank_.vectors])
    }
    assert merged.bank_size == 100


def test_a_merged_model_knows_what_either_has_learned(small_pictures: Path, tmp_path: Path) -> None:
    brighter = [picture // 2 + 100 for picture in new_pictures(9)[:-1]]
    one = SoftPatch(**OPTIONS).fit(small_pictures)
    other = SoftPatch(**OPTIONS, seed=5).fit(brighter)
    merged = merge(one, other)
    assert isinstance(merged, SoftPatch)
    both = predictions(merged, [new_pictures()[0], brighter[0]])
    for new, side in zip(
        both, (one.predict(new_pictures()[0]), other.predict(brighter[0])), strict=True
    ):
        assert new.score <= WIDER * side.score
    assert merged.image_names_ == one.image_names_ + other.image_names_
    assert torch.equal(merged.suspicion_, torch.cat([one.suspicion_, other.suspicion_]))
    assert merged.held_out_ is not None
    assert len(merged.held_out_) == 16
    assert merged.threshold_ is not None
    assert merged.lineage_.parents == (one.digest(), other.digest())
    merged.save(tmp_path / "both.softpatch")
    back = load(tmp_path / "both.softpatch")
    assert isinstance(back, SoftPatch)
    assert back.lineage_ == merged.lineage_
    back.update(new_pictures()[:2])
    assert len(back.image_names_) == 18


@pytest.mark.parametrize(
    "made",
    [
        lambda: SoftPatch(**OPTIONS),
        lambda: SoftPatch(**OPTIONS, discriminator="lof"),
        lambda: PatchCore(**OPTIONS),
        lambda: RandomBank(**OPTIONS),
    ],
)
def test_a_model_merged_with_itself_is_that_model(
    made: Callable[[], BankDetector], small_pictures: Path
) -> None:
    model = made().fit(small_pictures)
    merged = merge(model, model)
    before, after = model.learned_.tensors(), merged.learned_.tensors()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name
    assert merged.image_names_ == model.image_names_
    assert merged.digests_ == model.digests_
    assert merged.threshold_ == model.threshold_


@pytest.mark.parametrize("discriminator", ["auto", "lof"])
def test_pictures_that_both_have_learned_count_once(
    discriminator: str, small_pictures: Path, tmp_path: Path
) -> None:
    """Whatever their names are; and one is no support of what is in itself."""
    paths = sorted(small_pictures.iterdir())
    renamed = [Path(shutil.copy(path, tmp_path / f"again {path.name}")) for path in paths[4:6]]
    options = {**OPTIONS, "discriminator": discriminator, "coreset_ratio": 1.0}
    one = SoftPatch(**options).fit(paths[:6])
    other = SoftPatch(**options).fit([*renamed, *paths[6:]])
    merged = merge(one, other)
    assert isinstance(merged, SoftPatch)
    assert merged.image_names_ == list(map(str, paths))
    assert merged.digests_ == SoftPatch(**options).fit(paths).digests_
    suspicion = torch.maximum(one.suspicion_[4:], other.suspicion_[:2])
    expected = torch.cat([one.suspicion_[:4], suspicion, other.suspicion_[2:]])
    assert torch.equal(merged.suspicion_, expected)
    of = merged.held_out_of_
    assert of is not None
    assert of[:, 0].tolist() == list(range(8))
    learned = merged.learned_
    if learned.floors is not None and learned.look_alikes is not None:
        support = learned.floors.support
        assert not (support.pictures == support.own.unsqueeze(1)).any()
        for row in support.pictures.tolist():
            known = [picture for picture in row if picture >= 0]
            assert len(known) == len(set(known))
        assert learned.look_alikes.images.tolist() == list(range(8))
    else:
        reservoir = merged.reservoir_
        assert reservoir.image_index.tolist() == list(range(8))
        stored = reservoir.patches.flatten(0, 1)[reservoir.bank_patch_index].float()
        torch.testing.assert_close(stored, merged.bank_.vectors, rtol=1e-2, atol=1e-2)
    merged.update(new_pictures()[:2])
    assert len(merged.image_names_) == 10


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"crop": 48}, r"crop is \(64, 64\) in one and \(48, 48\)"),
        ({"dimension": 32}, "dimension is 64 in one and 32"),
        ({"embedding": "average"}, "embedding is rooted in one and average"),
        ({"layers": ("blocks.4",)}, "layers is "),
        ({"distance": "euclidean"}, "distance is squared in one and euclidean"),
        (
            {"discriminator": "nearest"},
            "discriminator is auto in one and nearest",
        ),
        ({"roi": np.tri(8, dtype=np.float32)}, "the region of interest is None in one and "),
        ({"weights": "random"}, "the backbone's weights is "),
    ],
)
def test_models_that_see_differently_are_not_merged(
    options: dict[str, Any], difference: str, small_pictures: Path, small_detector: SoftPatch
) -> None:
    usual = {"resize": 64, "crop": 64, "dimension": 64, "max_false_alarms": None}
    other = SoftPatch(**{**usual, **options})
    other.fit(small_pictures)
    with pytest.raises(UsageError, match=f"cannot be merged: {difference}"):
        merge(small_detector, other)


def test_what_is_no_fitted_bank_is_not_merged(
    small_pictures: Path, small_detector: SoftPatch
) -> None:
    with pytest.raises(UsageError, match="method is softpatch in one and patchcore"):
        merge(small_detector, PatchCore(**OPTIONS).fit(small_pictures))
    with pytest.raises(NotFittedError):
        merge(small_detector, SoftPatch(**OPTIONS))
    with pytest.raises(UsageError, match="bank_size must be at least 1"):
        merge(small_detector, small_detector, bank_size=0)
