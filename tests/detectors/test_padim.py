"""PaDiM equals one explicit Gaussian per position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from softpatch import PaDiM
from softpatch.errors import UsageError
from tests.detectors.pictures import random_patches
from tests.detectors.tables import learn
from tests.reference.scoring import padim


def fitted(patches: Tensor, **options: Any) -> Any:
    return learn(PaDiM(**options), patches)


def assert_equals_explicit_gaussians(detector: Any, train: Tensor, test: Tensor) -> None:
    chosen = detector.learned_.chosen
    expected = padim(
        train[..., chosen].flatten(1, 2).double().numpy(),
        test[..., chosen].flatten(1, 2).double().numpy(),
    )
    scores = detector.learned_.score(test.flatten(1, 2))
    assert scores.shape == (len(test), test.shape[1] * test.shape[2])
    np.testing.assert_allclose(scores.flatten(1).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("images", "dimensions"),
    [
        pytest.param(50, 8, id="more-images-than-dimensions"),
        pytest.param(5, 30, id="fewer-images-than-dimensions"),
        pytest.param(2, 4, id="two-images"),
        pytest.param(12, 1, id="one-dimension"),
    ],
)
@pytest.mark.parametrize("budget", [1, 2**26])
def test_equals_explicit_gaussians(
    images: int, dimensions: int, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softpatch.compute.scratch.CHUNK_BYTES", budget)
    train, test = random_patches(images, d=40), random_patches(3, d=40, seed=1)
    detector = fitted(train, dimensions=dimensions)
    assert len(detector.learned_.chosen) == dimensions
    assert_equals_explicit_gaussians(detector, train, test)


def test_equals_explicit_gaussians_on_real_patches(bottle_patches: Tensor) -> None:
    detector = fitted(bottle_patches[:20, ::6, ::6])
    assert_equals_explicit_gaussians(
        detector, bottle_patches[:20, ::6, ::6], bottle_patches[20:, ::6, ::6]
    )


def test_dimensions_are_drawn_by_the_seed_without_repeats() -> None:
    patches = random_patches(images=3, d=60)
    chosen = fitted(patches, dimensions=20, seed=1).learned_.chosen
    assert len(set(chosen.tolist())) == 20
    assert torch.equal(chosen, fitted(patches, dimensions=20, seed=1).learned_.chosen)
    assert not torch.equal(chosen, fitted(patches, dimensions=20, seed=2).learned_.chosen)


def test_all_dimensions_if_there_are_fewer() -> None:
    detector = fitted(random_patches(images=3, d=7), dimensions=100)
    assert detector.learned_.chosen.tolist() == list(range(7))


@pytest.mark.parametrize(
    ("options", "dimensions"),
    [
        ({}, 100),
        ({"backbone": "resnet18"}, 100),
        ({"preset": "paper"}, 550),
        ({"preset": "paper", "dimensions": 30}, 30),
    ],
)
def test_dimensions_follow_the_paper(options: dict[str, Any], dimensions: int) -> None:
    detector = PaDiM(**options)
    assert detector.kept_dimensions == dimensions
    assert detector.features.embedding == "concat"


def test_normal_limit_is_what_99_percent_of_training_patches_stay_below() -> None:
    patches = random_patches(images=20)
    detector = fitted(patches)
    share = float(
        (detector.learned_.score(patches.flatten(1, 2)) <= detector.normal_limit_).float().mean()
    )
    assert share == pytest.approx(0.99, abs=0.005)


def test_dimensions_below_one_are_an_error() -> None:
    with pytest.raises(UsageError, match="dimensions must be at least 1, got 0"):
        PaDiM(dimensions=0)


def test_a_fit_has_no_threshold_of_an_earlier_one() -> None:
    detector = fitted(random_patches())
    detector.threshold_ = 3.0
    assert learn(detector, random_patches()).threshold_ is None
