"""The restated route the benchmarks compare with does the same steps as softpatch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.reference.released import (
    PROJECTED,
    ReleasedSoftPatch,
    one_pick_a_pass,
    squared_norms,
)
from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.coreset_distances import STARTING_PATCHES
from softpatch.features import FeatureConfig, PatchExtractor
from softpatch.noise.lof import LocalOutlierFactor

CONFIG = FeatureConfig(backbone="resnet18", weights="random", resize=(64, 64), crop=(64, 64))


@pytest.fixture(scope="module")
def released() -> ReleasedSoftPatch:
    return ReleasedSoftPatch(CONFIG)


def gaussian(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_patches_are_ours(released: ReleasedSoftPatch) -> None:
    images = gaussian(2, 3, 64, 64)
    ours = PatchExtractor(CONFIG, torch.device("cpu"))(images).flatten(1, 2)
    torch.testing.assert_close(released.embed(images), ours, rtol=1e-4, atol=1e-4)


def test_outlier_scores_are_ours(released: ReleasedSoftPatch) -> None:
    patches = gaussian(20, 5, PROJECTED)  # (N, P, D)
    ours = LocalOutlierFactor(released.k)(patches.transpose(0, 1))  # (P, N)
    torch.testing.assert_close(
        released.outlier_scores(patches), ours.T.flatten(), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("norms_once", [False, True])
def test_picks_are_ours_from_the_same_start(norms_once: bool) -> None:
    patches = gaussian(300, 16)
    keep = patches[:, 0] < 1
    members = keep.nonzero().flatten()
    order = torch.randperm(len(members), generator=torch.Generator().manual_seed(0))
    start = members[order[:STARTING_PATCHES]]
    norms = squared_norms(patches) if norms_once else None
    picks = one_pick_a_pass(patches, 60, keep, start, norms)
    assert picks.tolist() == greedy_coreset(patches, 60, eligible=keep).tolist()
