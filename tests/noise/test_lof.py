"""LOF equals scikit-learn's at every position, duplicates and ties included."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.neighbors import LocalOutlierFactor as ReferenceLOF
from torch import Tensor

from softpatch.errors import UsageError
from softpatch.noise.lof import LocalOutlierFactor
from softpatch.noise.neighbors import draw_references
from tests.reference.discriminators import at_each_position, lof

Floats = npt.NDArray[np.float64]


def sklearn_lof(vectors: npt.NDArray[Any], k: int) -> Floats:
    """``(N, D)`` -> ``(N,)``; a tree, because brute force finds copies 1e-8 apart."""
    k = min(k, len(vectors) - 1)  # scikit-learn does the same, with a warning
    model = ReferenceLOF(n_neighbors=k, algorithm="kd_tree").fit(vectors.astype(np.float64))
    factors: Floats = -model.negative_outlier_factor_
    return factors


def assert_equals_sklearn(patches: Tensor, k: int) -> None:
    """``(P, N, D)``."""
    expected = np.stack([sklearn_lof(position.numpy(), k) for position in patches])
    np.testing.assert_allclose(LocalOutlierFactor(k)(patches).numpy(), expected, rtol=1e-4)


def random_patches(positions: int, images: int, dimension: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    patches: Tensor = torch.randn(positions, images, dimension, generator=generator)
    return patches


@pytest.mark.parametrize("k", [1, 2, 5, 6, 20])
@pytest.mark.parametrize("shape", [(3, 40, 5), (1, 25, 1), (2, 60, 300), (5, 22, 2)])
def test_equals_sklearn(shape: tuple[int, int, int], k: int) -> None:
    assert_equals_sklearn(random_patches(*shape), k)


@pytest.mark.parametrize("k", [1, 6, 15])
def test_equals_the_definition(k: int) -> None:
    patches = random_patches(3, 16, 4)
    expected = at_each_position(patches.numpy().astype(np.float64), lambda here: lof(here, k))
    np.testing.assert_allclose(LocalOutlierFactor(k)(patches).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("k", [5, 6])
def test_equals_sklearn_on_real_patches(bottle_patches: Tensor, k: int) -> None:
    by_position = bottle_patches.flatten(1, 2).transpose(0, 1)  # (P, N, D)
    assert_equals_sklearn(by_position[::7], k)


@pytest.mark.parametrize("images", [2, 3, 6, 7])
def test_no_more_neighbours_than_other_images(images: int) -> None:
    patches = random_patches(2, images, 3)
    assert_equals_sklearn(patches, k=6)
    few, many = LocalOutlierFactor(images - 1)(patches), LocalOutlierFactor(99)(patches)
    assert torch.equal(few, many)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
@pytest.mark.parametrize("copies", [2, 3, 5])
def test_exact_copies_equal_sklearn(copies: int, k: int) -> None:
    """Which copy is a neighbour cannot matter: copies have the same density."""
    patches = random_patches(2, 12, 6).repeat_interleave(copies, dim=1)
    assert_equals_sklearn(patches, k)


@pytest.mark.filterwarnings("ignore:Duplicate values are leading to incorrect results")
@pytest.mark.parametrize("k", [1, 3, 6])
def test_one_stranger_among_copies_equals_sklearn(k: int) -> None:
    patches = torch.zeros(1, 10, 4)
    patches[0, 3] = 2.0
    factors = LocalOutlierFactor(k)(patches)[0]
    assert_equals_sklearn(patches, k)
    assert factors[3] > 1e9
    assert torch.equal(factors[torch.arange(10) != 3], torch.ones(9))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_whole_numbers_equal_sklearn(k: int) -> None:
    """Powers of two, doubled up: no two distances from one of them are equal, copies aside."""
    line = 2.0 ** torch.arange(8)
    patches = torch.cat([line, line]).view(1, 16, 1)
    assert_equals_sklearn(patches, k)


@pytest.mark.parametrize(
    ("corners", "k"),
    [
        pytest.param([[0, 0], [0, 1], [1, 0], [1, 1]], 1, id="square-1"),
        pytest.param([[0, 0], [0, 1], [1, 0], [1, 1]], 2, id="square-2"),
        pytest.param([[a, b, c] for a in (0, 3) for b in (0, 3) for c in (0, 3)], 2, id="cube"),
        pytest.param(np.eye(6).tolist(), 4, id="simplex"),
    ],
)
def test_tied_neighbours_of_a_regular_shape_give_one(corners: list[list[float]], k: int) -> None:
    """All corners are alike, so every choice among tied neighbours gives W = 1."""
    factors = LocalOutlierFactor(k)(torch.tensor([corners], dtype=torch.float32))
    torch.testing.assert_close(factors, torch.ones_like(factors))
    assert_equals_sklearn(torch.tensor([corners], dtype=torch.float32), k)


@pytest.mark.parametrize("level", [0.0, 0.1, 255.0, 1e4])
def test_identical_patches_give_exactly_one(level: float) -> None:
    """0.1 has no exact binary form: rounding must not be ranked."""
    patches = torch.full((2, 9, 64), level)
    assert torch.equal(LocalOutlierFactor(6)(patches), torch.ones(2, 9))


def test_copies_far_from_the_origin_are_still_copies() -> None:
    patches = (random_patches(1, 8, 5) + 1e3).repeat_interleave(3, dim=1)
    assert_equals_sklearn(patches, k=2)


def test_outliers_lie_above_one_and_normal_patches_near_it() -> None:
    patches = random_patches(1, 50, 10)
    patches[0, 7] += 20
    factors = LocalOutlierFactor(6)(patches)[0]
    assert factors.argmax() == 7
    assert factors[7] > 3
    assert (factors[torch.arange(50) != 7] - 1).abs().max() < 0.6


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_scale_and_shift_do_not_matter(scale: float) -> None:
    patches = random_patches(2, 30, 6)
    torch.testing.assert_close(
        LocalOutlierFactor(6)(patches * scale + scale),
        LocalOutlierFactor(6)(patches),
        rtol=1e-4,
        atol=0,
    )


def test_k_below_one_is_an_error() -> None:
    with pytest.raises(UsageError, match="k must be at least 1, got 0"):
        LocalOutlierFactor(0)


@pytest.mark.parametrize("k", [1, 6, 50])
@pytest.mark.parametrize("references", [3, 10, 29])
def test_with_references_equals_sklearn_novelty(references: int, k: int) -> None:
    """The images drawn are judged among themselves, the others as new observations."""
    patches = random_patches(2, 30, 5)
    chosen = draw_references(30, references, seed=7).numpy()
    others = np.setdiff1d(np.arange(30), chosen)
    scores = LocalOutlierFactor(k, references, seed=7)(patches).numpy()
    for vectors, here in zip(patches.double().numpy(), scores, strict=True):
        neighbours = min(k, references - 1)
        model = ReferenceLOF(n_neighbors=neighbours, novelty=True).fit(vectors[chosen])
        np.testing.assert_allclose(here[chosen], -model.negative_outlier_factor_, rtol=1e-5)
        np.testing.assert_allclose(here[others], -model.score_samples(vectors[others]), rtol=1e-5)


def test_references_are_drawn_by_the_seed() -> None:
    assert torch.equal(draw_references(50, 50, seed=0), torch.arange(50))
    assert torch.equal(draw_references(50, 8, seed=1), draw_references(50, 8, seed=1))
    assert not torch.equal(draw_references(50, 8, seed=1), draw_references(50, 8, seed=2))
    drawn = draw_references(50, 8, seed=1).tolist()
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 8
