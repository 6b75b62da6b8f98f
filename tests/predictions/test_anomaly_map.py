"""Two matrices equal bilinear interpolation followed by scipy's Gaussian filter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from softpatch.predictions.anomaly_map import anomaly_map
from tests.reference.scoring import anomaly_map as reference_map


def random_scores(*shape: int) -> Tensor:
    scores: Tensor = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return scores


@pytest.mark.parametrize(
    ("grid", "size"),
    [
        pytest.param((28, 28), (224, 224), id="paper"),
        pytest.param((32, 32), (448, 448), id="dino"),
        pytest.param((10, 28), (80, 224), id="wide"),
        pytest.param((28, 10), (223, 85), id="tall-and-odd"),
        pytest.param((4, 4), (16, 17), id="as-large-as-the-kernel"),
        pytest.param((2, 3), (5, 7), id="smaller-than-the-kernel"),
        pytest.param((1, 1), (3, 1), id="one-pixel-wide"),
        pytest.param((28, 28), (28, 28), id="same-size"),
        pytest.param((28, 28), (14, 10), id="smaller-than-the-grid"),
    ],
)
def test_equals_interpolation_then_gaussian_filter(
    grid: tuple[int, int], size: tuple[int, int]
) -> None:
    scores = random_scores(2, *grid)
    expected = np.stack([reference_map(one.numpy(), size) for one in scores])
    heat = anomaly_map(scores, size)
    assert heat.dtype == torch.float32
    np.testing.assert_allclose(heat.numpy(), expected, rtol=1e-5)
    precise = anomaly_map(scores.double(), size).numpy()
    np.testing.assert_allclose(precise, expected, rtol=1e-12)


def test_without_blur_it_is_the_interpolation() -> None:
    scores = random_scores(1, 3, 5)
    large = torch.nn.functional.interpolate(scores.unsqueeze(0), size=(20, 31), mode="bilinear")[0]
    torch.testing.assert_close(anomaly_map(scores, (20, 31), sigma=0), large)


def test_a_constant_stays_constant() -> None:
    heat = anomaly_map(torch.full((1, 7, 3), 2.5), (40, 9))
    torch.testing.assert_close(heat, torch.full((1, 40, 9), 2.5))


def test_map_stays_within_the_scores() -> None:
    scores = random_scores(3, 8, 8)
    heat = anomaly_map(scores, (64, 64))
    assert scores.min() <= heat.min()
    assert heat.max() <= scores.max()


def test_rows_and_columns_are_not_swapped() -> None:
    scores = torch.zeros(1, 4, 8)
    scores[0, 0, 7] = 1.0
    heat = anomaly_map(scores, (32, 64))[0]
    assert divmod(int(heat.argmax()), 64) == (0, 63)  # top right
