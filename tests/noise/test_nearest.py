"""W = 1 + distance to the nearest other image at the position."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from softpatch.noise.nearest import Nearest
from softpatch.noise.neighbors import draw_references
from tests.reference.discriminators import at_each_position, nearest


@pytest.mark.parametrize("shape", [(3, 2, 4), (2, 20, 1), (4, 15, 200)])
def test_equals_the_definition(shape: tuple[int, int, int]) -> None:
    patches = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = at_each_position(patches.numpy().astype(np.float64), nearest)
    np.testing.assert_allclose(Nearest()(patches).numpy(), expected, rtol=1e-6)


def test_equals_the_definition_on_real_patches(bottle_patches: Tensor) -> None:
    by_position = bottle_patches.flatten(1, 2).transpose(0, 1)[::40]  # (P, N, D)
    expected = at_each_position(by_position.numpy().astype(np.float64), nearest)
    np.testing.assert_allclose(Nearest()(by_position).numpy(), expected, rtol=1e-6)


def test_by_hand() -> None:
    patches = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]]])
    assert Nearest()(patches).tolist() == [[6.0, 2.0, 2.0]]


def test_only_the_same_position_counts() -> None:
    """At each position the two images are 1 apart; across positions they are equal."""
    patches = torch.tensor([[[0.0], [1.0]], [[1.0], [0.0]]])
    assert torch.equal(Nearest()(patches), torch.full((2, 2), 2.0))


def test_with_references_only_they_count() -> None:
    """Two references are drawn of five; each image's nearest is sought among them."""
    patches = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    chosen = draw_references(5, 2, seed=3).tolist()
    scores = Nearest(references=2, seed=3)(patches)
    for position in range(3):
        for image in range(5):
            distances = [
                float(torch.dist(patches[position, image].double(), patches[position, other]))
                for other in chosen
                if other != image
            ]
            assert float(scores[position, image]) == pytest.approx(1 + min(distances), rel=1e-6)
