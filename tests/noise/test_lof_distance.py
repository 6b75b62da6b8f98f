"""LOF-distance equals its definition, and finds the defects that either factor overlooks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from softpatch.noise.lof import LocalOutlierFactor
from softpatch.noise.lof_distance import LofDistance
from softpatch.noise.nearest import Nearest
from tests.noise.test_protocol import random_patches
from tests.reference.discriminators import at_each_position, fused


@pytest.mark.parametrize("k", [1, 2, 3, 6, 30])
@pytest.mark.parametrize("images", [2, 3, 16])
def test_equals_the_definition(images: int, k: int) -> None:
    patches = random_patches(3, images, 4)
    expected = at_each_position(patches.numpy().astype(np.float64), lambda here: fused(here, k))
    np.testing.assert_allclose(LofDistance(k)(patches).numpy(), expected, rtol=1e-5)


def test_a_recurring_defect_stands_out_where_lof_overlooks_it() -> None:
    patches = random_patches(1, 60, 8)
    patches[0, 50:] += 30  # ten alike: more than k, each other's neighbours
    assert LocalOutlierFactor(6)(patches)[0, 50:].median() < 1.5
    scores = LofDistance(6)(patches)[0]
    assert scores[50:].median() > scores[:50].median()


def test_a_faint_defect_stands_out_where_distance_overlooks_it() -> None:
    patches = torch.cat([0.1 * random_patches(1, 40, 8), 10 * random_patches(1, 40, 8, 1)], dim=1)
    patches[0, 0] = 1.5  # far for the tight half, near for the wide one
    patches[0, 40:, 0] += 100
    assert Nearest()(patches)[0].argsort(descending=True)[:30].tolist().count(0) == 0
    assert 0 in LofDistance(6)(patches)[0].argsort(descending=True)[:30].tolist()
