"""SoftPatch equals its algorithm box, written down step by step in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from softpatch import PatchCore, SoftPatch
from softpatch.detectors import make_detector
from softpatch.errors import UsageError
from softpatch.noise.discriminators import DISCRIMINATORS
from softpatch.noise.suspicion import suspects
from tests.detectors.pictures import random_patches
from tests.detectors.tables import learn
from tests.reference.coreset import greedy_k_center
from tests.reference.discriminators import (
    anywhere,
    at_each_position,
    fused,
    gaussian,
    lof,
    nearest,
)
from tests.reference.scoring import bank_scores

pytestmark = pytest.mark.usefixtures("one_backbone")

Floats = npt.NDArray[np.float64]
# ``position-free`` compares something else than whole patches: see below.
every_discriminator = pytest.mark.parametrize(
    "discriminator", [name for name in DISCRIMINATORS if name != "position-free"]
)


def fitted(patches: Tensor, **options: Any) -> SoftPatch:
    chosen = {"discriminator": "lof", "tau": 0.15, "soft_weight": True, **options}
    return learn(SoftPatch(**chosen), patches)


def outlier_scores(patches: Tensor, discriminator: str, k: int = 6) -> Floats:
    """``(N, h, w, D)`` -> ``(N, P)`` W."""
    scores: dict[str, Callable[[Floats], Floats]] = {
        "lof": partial(lof, k=k),
        "nearest": nearest,
        "gaussian": gaussian,
        "lof-distance": partial(fused, k=k),
    }
    by_position = patches.flatten(1, 2).transpose(0, 1).numpy().astype(np.float64)
    return at_each_position(by_position, scores[discriminator]).T


def reference_bank(
    patches: Tensor,
    outlier: Floats,
    *,
    tau: float = 0.15,
    ratio: float = 0.1,
    seed: int = 0,
) -> list[int]:
    """Indices of the patches that enter the bank: denoise, then farthest-first."""
    threshold = np.quantile(outlier, 1 - tau)
    eligible = torch.from_numpy(outlier.ravel() <= threshold)
    size = int(ratio * outlier.size)
    return greedy_k_center(patches.flatten(0, 2), size, eligible, seed)


def assert_equals_reference(
    detector: SoftPatch, patches: Tensor, picks: list[int], weights: Floats, test: Tensor
) -> None:
    flat = patches.flatten(0, 2)
    assert torch.equal(detector.bank_.vectors, flat[picks])
    np.testing.assert_allclose(detector.bank_.weights.numpy(), weights, rtol=1e-4)
    expected = bank_scores(
        test.flatten(0, 2).double().numpy(),
        flat[picks].double().numpy(),
        weights,
        squared=detector.distance == "squared",
    )
    scores = detector.learned_.score(test.flatten(1, 2))
    assert scores.shape == (len(test), test.shape[1] * test.shape[2])
    np.testing.assert_allclose(scores.flatten().numpy(), expected, rtol=2e-4)


@every_discriminator
@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize("seed", [0, 5])
def test_equals_the_algorithm(discriminator: str, distance: str, seed: int) -> None:
    patches, test = random_patches(seed=seed), random_patches(images=3, seed=seed + 1)
    detector = fitted(patches, discriminator=discriminator, distance=distance, seed=seed)
    outlier = outlier_scores(patches, discriminator)
    picks = reference_bank(patches, outlier, seed=seed)
    assert_equals_reference(detector, patches, picks, outlier.ravel()[picks], test)


@pytest.mark.parametrize(
    ("k", "tau", "ratio"), [(1, 0.15, 0.1), (5, 0.5, 0.4), (40, 0.01, 1.0), (6, 0.9, 0.05)]
)
def test_equals_the_algorithm_with_other_settings(k: int, tau: float, ratio: float) -> None:
    patches, test = random_patches(), random_patches(images=2, seed=1)
    detector = fitted(patches, k=k, tau=tau, coreset_ratio=ratio)
    outlier = outlier_scores(patches, "lof", k)
    picks = reference_bank(patches, outlier, tau=tau, ratio=ratio)
    assert_equals_reference(detector, patches, picks, outlier.ravel()[picks], test)


def test_equals_the_algorithm_on_real_patches(bottle_patches: Tensor) -> None:
    patches, test = bottle_patches[:, ::4, ::4], bottle_patches[-2:, 1::4, 1::4]
    detector = fitted(patches.contiguous())
    outlier = outlier_scores(patches, "lof")
    picks = reference_bank(patches, outlier)
    assert_equals_reference(detector, patches, picks, outlier.ravel()[picks], test)


def test_without_denoising_every_patch_may_enter() -> None:
    patches, test = random_patches(), random_patches(images=2, seed=1)
    outlier = outlier_scores(patches, "lof")
    picks = greedy_k_center(patches.flatten(0, 2), outlier.size // 10)
    detector = fitted(patches, denoise=False)
    assert_equals_reference(detector, patches, picks, outlier.ravel()[picks], test)


def test_without_soft_weights_scores_are_plain_distances() -> None:
    patches, test = random_patches(), random_patches(images=2, seed=1)
    picks = reference_bank(patches, outlier_scores(patches, "lof"))
    detector = fitted(patches, soft_weight=False)
    assert_equals_reference(detector, patches, picks, np.ones(len(picks)), test)


@every_discriminator
@pytest.mark.parametrize("distance", ["squared", "euclidean"])
def test_without_either_it_is_patchcore(
    discriminator: str, distance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = torch.empty(0, dtype=torch.long)
    monkeypatch.setattr("softpatch.detectors.calibration.suspects", lambda *_: none)
    patches, test = random_patches(), random_patches(images=2, seed=1)
    detector = fitted(
        patches, discriminator=discriminator, denoise=False, soft_weight=False, distance=distance
    )
    patchcore = PatchCore(distance=distance)
    learn(patchcore, patches)
    assert torch.equal(detector.bank_.vectors, patchcore.bank_.vectors)
    assert torch.equal(detector.bank_.weights, patchcore.bank_.weights)
    assert torch.equal(
        detector.learned_.score(test.flatten(1, 2)), patchcore.learned_.score(test.flatten(1, 2))
    )
    assert detector.normal_limit_ == patchcore.normal_limit_


def test_rejecting_nothing_is_not_denoising() -> None:
    patches = random_patches()
    assert torch.equal(
        fitted(patches, tau=0.0).bank_.vectors, fitted(patches, denoise=False).bank_.vectors
    )


@pytest.mark.parametrize("tau", [0.15, 0.4])
def test_no_rejected_patch_is_in_the_bank(tau: float) -> None:
    """A bank of every eligible patch: exactly the share tau is missing."""
    patches = random_patches(images=20)
    outlier = outlier_scores(patches, "lof").ravel()
    detector = fitted(patches, tau=tau, coreset_ratio=1.0)
    assert len(detector.bank_) == pytest.approx((1 - tau) * outlier.size, abs=1)
    assert float(detector.bank_.weights.max()) <= np.quantile(outlier, 1 - tau) * (1 + 1e-5)


def test_dirt_does_not_become_normal() -> None:
    """A defect in one training picture: PatchCore then calls it normal, SoftPatch does not."""
    patches = random_patches(images=20)
    patches[3, 2, 2] += 8
    defect = random_patches(images=1, seed=0)
    defect[0, 2, 2] = patches[3, 2, 2] + 0.1
    patchcore = PatchCore()
    learn(patchcore, patches)
    assert patchcore.learned_.score(defect.flatten(1, 2))[0, 12] < 1
    assert fitted(patches).learned_.score(defect.flatten(1, 2))[0, 12] > 100


@pytest.mark.parametrize(("h", "w", "worst"), [(4, 5, 1), (15, 20, 3)])
def test_suspicion_is_the_mean_of_the_worst_percent(h: int, w: int, worst: int) -> None:
    patches = random_patches(images=10, h=h, w=w, d=4)
    outlier = outlier_scores(patches, "lof")  # (N, P)
    expected = np.sort(outlier, axis=1)[:, -worst:].mean(axis=1)
    np.testing.assert_allclose(fitted(patches).suspicion_.numpy(), expected, rtol=1e-4)


def test_suspects_are_sorted_and_named() -> None:
    patches = random_patches(images=10)
    patches[7] += 3
    detector = fitted(patches)
    ranked = detector.suspects()
    assert ranked[0][0] == "7"
    assert [value for _, value in ranked] == sorted(detector.suspicion_.tolist(), reverse=True)
    assert sorted(name for name, _ in ranked) == detector.image_names_


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
def test_normal_limit_leaves_out_suspects_and_a_patchs_own_image(distance: str) -> None:
    patches = random_patches(images=12)
    patches[3] *= torch.linspace(3, 5, 20).view(4, 5, 1)
    detector = fitted(patches, distance=distance)
    suspected = suspects(detector.suspicion_, torch.device("cpu")).tolist()
    assert 3 in suspected
    flat = patches.flatten(0, 2).double().numpy()
    outlier = outlier_scores(patches, "lof")
    picks = np.array(reference_bank(patches, outlier))
    scores = []
    for index, patch in enumerate(flat):
        if index // 20 in suspected:  # 4 x 5 patches an image
            continue
        others = picks[picks // 20 != index // 20]
        scores += bank_scores(
            patch[None], flat[others], outlier.ravel()[others], squared=distance == "squared"
        ).tolist()
    assert detector.normal_limit_ == pytest.approx(np.quantile(scores, 0.99), rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 1.0}, r"tau must lie in \[0, 1\) or be auto, got 1.0"),
        ({"tau": "automatic"}, "tau must lie"),
        ({"tau": -0.1}, "tau must lie"),
        ({"tau": float("nan")}, "tau must lie"),
        ({"coreset_ratio": 0.0}, r"coreset_ratio must lie in \(0, 1\]"),
        ({"coreset_ratio": 1.5}, "coreset_ratio must lie"),
        ({"distance": "cosine"}, "squared or euclidean, got 'cosine'"),
        ({"discriminator": "dbscan"}, "'dbscan' is none of"),
        ({"k": 0}, "k must be at least 1"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
    ],
)
def test_wrong_options_are_errors_before_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SoftPatch(**options)


@pytest.mark.parametrize("name", ["lof_k", "Tau", "neighbours"])
def test_unknown_options_are_errors(name: str) -> None:
    """The released code loses ``--lof_k`` in a ``**kwargs``."""
    options: dict[str, Any] = {name: 5}
    with pytest.raises(TypeError, match=name):
        SoftPatch(**options)
    with pytest.raises(UsageError, match="softpatch has no option"):
        make_detector("softpatch", **options)


@every_discriminator
def test_every_discriminator_has_a_method_name(discriminator: str) -> None:
    detector = make_detector(f"softpatch-{discriminator}")
    assert isinstance(detector, SoftPatch)
    assert detector.discriminator == discriminator


def scattered(patches: Tensor) -> Tensor:
    """The same patches, those of each picture in an order of its own."""
    generator = torch.Generator().manual_seed(9)
    flat = patches.flatten(1, 2)
    orders = torch.stack([torch.randperm(flat.shape[1], generator=generator) for _ in flat])
    return flat.gather(1, orders.unsqueeze(2).expand_as(flat)).view_as(patches)


def test_position_free_compares_averages_of_coarse_features() -> None:
    patches, test = scattered(random_patches()), random_patches(images=2, seed=1)
    detector = SoftPatch(dimension=16, discriminator="position-free")
    learn(detector, patches)
    coarse = (patches * patches.abs())[..., detector.extractor.embedding.coarsest].double().numpy()
    means = np.zeros_like(coarse)
    for row, column in np.ndindex(4, 5):
        around = coarse[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        means[:, row, column] = around.mean(axis=(1, 2))
    outlier = anywhere(means.reshape(len(means), 20, -1).transpose(1, 0, 2)).T
    picks = reference_bank(patches, outlier)
    assert_equals_reference(detector, patches, picks, np.ones(len(picks)), test)
    assert detector.suspicion_.argmax() == outlier.max(axis=1).argmax()


def test_auto_has_no_discriminator_and_takes_none_of_its_options() -> None:
    detector = learn(SoftPatch(dimension=16), random_patches())
    assert detector.policy_ is None
    assert detector.floors_ is not None
    with pytest.raises(UsageError, match="tau goes with a discriminator"):
        SoftPatch(tau=0.1)
    with pytest.raises(UsageError, match="soft_weight goes with a discriminator"):
        SoftPatch(soft_weight=False)
    with pytest.raises(UsageError, match="k must be at least 1"):
        SoftPatch(k=0)


def test_without_floors_the_bank_is_patchcores() -> None:
    patches, test = random_patches(), random_patches(images=2, seed=1).flatten(1, 2)
    bare = learn(SoftPatch(dimension=16, denoise=False), patches)
    plain = learn(PatchCore(dimension=16), patches)
    assert torch.equal(bare.bank_.vectors, plain.bank_.vectors)
    assert torch.equal(bare.learned_.score(test), plain.learned_.score(test))
