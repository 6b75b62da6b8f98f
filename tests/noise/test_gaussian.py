"""W = 1 + Mahalanobis distance under covariance + 0.01 I, without building the covariance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from softpatch.noise.gaussian import Gaussian
from tests.reference.discriminators import at_each_position, gaussian


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((3, 2, 4), id="two-images"),
        pytest.param((2, 40, 5), id="more-images-than-dimensions"),
        pytest.param((2, 10, 100), id="fewer-images-than-dimensions"),
        pytest.param((2, 12, 1), id="one-dimension"),
    ],
)
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_equals_the_explicit_inverse(shape: tuple[int, int, int], scale: float) -> None:
    patches = scale * torch.randn(shape, generator=torch.Generator().manual_seed(0)) + scale
    expected = at_each_position(patches.numpy().astype(np.float64), gaussian)
    np.testing.assert_allclose(Gaussian()(patches).numpy(), expected, rtol=1e-5)


def test_equals_the_explicit_inverse_on_real_patches(bottle_patches: Tensor) -> None:
    by_position = bottle_patches.flatten(1, 2).transpose(0, 1)[100:800:200]  # (P, N, D)
    expected = at_each_position(by_position.numpy().astype(np.float64), gaussian)
    np.testing.assert_allclose(Gaussian()(by_position).numpy(), expected, rtol=1e-5)


def test_by_hand() -> None:
    """-1 and 1: variance 2, so each lies 1 / sqrt(2.01) from the mean 0."""
    scores = Gaussian()(torch.tensor([[[-1.0], [1.0]]]))
    torch.testing.assert_close(scores, torch.full((1, 2), 1 + 2.01**-0.5))
