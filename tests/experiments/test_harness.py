"""The experiments' own rules and metrics equal the library's and scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from experiments.pool import Pool
from experiments.rules import Evidence, kept, times_picture
from experiments.scoring import auroc, average_precision, patch_scores
from experiments.transforms import TRANSFORMS, patches_of_noise, transformed
from softpatch.bank.memory_bank import MemoryBank
from softpatch.noise.discriminators import make_discriminator
from softpatch.noise.policy import noise_threshold
from tests.detectors.pictures import random_patches


def pool_of(patches: torch.Tensor) -> Pool:
    pictures, h, w, dimension = patches.shape
    return Pool(
        names=[str(index) for index in range(pictures)],
        grids=[(h, w)] * pictures,
        image_index=torch.arange(pictures).repeat_interleave(h * w),
        patches=patches.reshape(-1, dimension),
        defective=torch.zeros(pictures, dtype=torch.bool),
        masks=[torch.zeros(8, 8, dtype=torch.bool)] * pictures,
    )


@pytest.mark.parametrize("rule", ["lof", "fused"])
def test_rules_are_the_librarys(rule: str) -> None:
    patches = random_patches(images=14)
    training = torch.tensor([0, 1, 2, 4, 5, 6, 7, 9, 10, 11, 13])
    found = Evidence(pool_of(patches)).outlier_scores(training, rule)
    by_position = patches[training].flatten(1, 2).transpose(0, 1)
    name = {"fused": "lof-distance"}.get(rule, rule)
    expected = make_discriminator(name, k=6)(by_position).T
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-3)


def test_anywhere_is_a_loop_over_other_pictures() -> None:
    patches = random_patches(images=6)
    training = torch.tensor([0, 2, 3, 5])
    found = Evidence(pool_of(patches)).outlier_scores(training, "any2")
    flat = patches[training].flatten(1, 2)
    for row, one in enumerate(flat):
        to_each = [
            torch.cdist(one, other).amin(dim=1) if at != row else torch.full((20,), math.inf)
            for at, other in enumerate(flat)
        ]
        expected = torch.stack(to_each).sort(dim=0).values[1]
        np.testing.assert_allclose(found[row].numpy(), expected.numpy(), rtol=1e-3)


def test_a_patch_is_as_suspicious_as_it_and_its_picture_are() -> None:
    outlier = torch.tensor([[1.0, 2.0, 4.0], [1.0, 1.0, 8.0]])
    expected = [[4.0, 8.0, 16.0], [8.0, 8.0, 64.0]]
    np.testing.assert_allclose(times_picture(outlier).numpy(), expected, rtol=1e-5)


def test_whole_pictures_are_left_out_the_most_suspicious_or_any() -> None:
    outlier = torch.ones(10, 6)
    outlier[3, 2], outlier[8, 0] = 9, 8
    by_suspicion = kept(outlier, "0.2 of pictures")
    assert by_suspicion.shape == outlier.shape
    assert (~by_suspicion.all(dim=1)).nonzero().flatten().tolist() == [3, 8]
    at_random = kept(outlier, "0.2 at random")
    assert torch.equal(at_random.any(dim=1), at_random.all(dim=1))
    assert int(at_random.all(dim=1).sum()) == 8
    assert torch.equal(at_random, kept(torch.ones(10, 6), "0.2 at random"))


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_transforms_do_what_their_names_say(kind: str) -> None:
    pool = pool_of(random_patches(images=5, d=1024))
    expected = pool.patches.double()
    if kind.startswith("scaled"):
        learned = expected[pool.image_index < 3]
        expected = (expected - learned.mean(dim=0)) / learned.std(dim=0)
    if kind.startswith("by-noise"):
        expected = expected / patches_of_noise(expected.device).double().std(dim=0)
    if kind.endswith("rooted"):
        expected = expected.abs().sqrt().copysign(expected)
    if kind == "offset-root":
        expected = expected.sign() * ((expected.abs() + 1).sqrt() - 1)
    if kind == "unit":
        expected = expected / expected.norm(dim=1, keepdim=True)
    if kind == "levelled":
        pictures = expected.view(5, 20, 1024)
        pictures = pictures - pictures.mean(dim=1, keepdim=True)
        squared = pictures.square().sum(dim=2).mean(dim=1)
        expected = (pictures / squared.sqrt()[:, None, None]).view(100, 1024)
    found = transformed(pool, kind, training=3).patches
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("cut", ["0.15", "0.05"])
def test_a_share_stays_out(cut: str) -> None:
    outlier = torch.rand(20, 30, generator=torch.Generator().manual_seed(0))
    assert float(kept(outlier, cut).float().mean()) == pytest.approx(1 - float(cut), abs=0.01)


def test_auto_is_the_librarys() -> None:
    outlier = torch.rand(20, 31, generator=torch.Generator().manual_seed(0)).exp()
    limit = noise_threshold(outlier.flatten().numpy(), "auto")
    differ = kept(outlier, "auto") != (outlier <= limit)
    assert float(differ.float().mean()) < 0.01  # quartiles between numbers differ a little


def test_metrics_are_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.rand(500, generator=generator) > 0.8
    values = torch.rand(500, generator=generator) + 0.3 * labels
    assert auroc(labels, values) == pytest.approx(roc_auc_score(labels, values))
    assert average_precision(labels, values) == pytest.approx(
        average_precision_score(labels, values)
    )


def test_scores_are_the_banks() -> None:
    generator = torch.Generator().manual_seed(4)
    bank, patches = (
        torch.randn(50, 16, generator=generator),
        torch.randn(30, 16, generator=generator),
    )
    weights = torch.rand(50, generator=generator) + 0.5
    expected = MemoryBank(bank, weights).score(patches, "squared")
    np.testing.assert_allclose(
        patch_scores(patches, bank, weights).numpy(), expected.numpy(), rtol=1e-3
    )
