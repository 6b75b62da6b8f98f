"""Seeded random projections keep what they promise."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from softpatch.errors import UsageError
from softpatch.features.projection import Projection, projection_matrix

both_kinds = pytest.mark.parametrize("kind", get_args(Projection))


@both_kinds
def test_the_seed_decides(kind: Projection) -> None:
    matrix = projection_matrix(kind, 30, 8, seed=5)
    assert matrix.shape == (30, 8)
    assert matrix.dtype == torch.float32
    assert torch.equal(matrix, projection_matrix(kind, 30, 8, seed=5))
    assert not torch.allclose(matrix, projection_matrix(kind, 30, 8, seed=6))


@both_kinds
def test_the_global_random_state_is_left_alone(kind: Projection) -> None:
    before = torch.get_rng_state()
    projection_matrix(kind, 30, 8, seed=5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("dimension", "target"), [(1024, 128), (5, 5), (3, 1)])
def test_orthonormal_columns(dimension: int, target: int) -> None:
    matrix = projection_matrix("orthonormal", dimension, target, seed=0)
    torch.testing.assert_close(matrix.T @ matrix, torch.eye(target), atol=1e-5, rtol=0)


def test_orthonormal_of_full_size_keeps_distances() -> None:
    vectors = torch.randn(40, 20, generator=torch.Generator().manual_seed(0))
    projected = vectors @ projection_matrix("orthonormal", 20, 20, seed=0)
    torch.testing.assert_close(torch.pdist(projected), torch.pdist(vectors))


def test_gaussian_keeps_squared_distances_on_average() -> None:
    """Johnson-Lindenstrauss: a squared length is kept to sqrt(2 / target), here 3 % on average."""
    vectors = torch.randn(100, 512, generator=torch.Generator().manual_seed(0))
    projected = vectors @ projection_matrix("gaussian", 512, 256, seed=0)
    ratio = torch.pdist(projected).square() / torch.pdist(vectors).square()
    assert float(ratio.mean()) == pytest.approx(1, abs=0.03)
    assert float(ratio.std()) == pytest.approx((2 / 256) ** 0.5, rel=0.2)


@both_kinds
@pytest.mark.parametrize("target", [0, -1, 31])
def test_a_size_that_is_no_projection_is_an_error(kind: Projection, target: int) -> None:
    with pytest.raises(UsageError, match=f"cannot project 30 numbers to {target}"):
        projection_matrix(kind, 30, target, seed=0)


def test_unknown_kind_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match="'sparse' is none of orthonormal, gaussian"):
        projection_matrix("sparse", 30, 8, seed=0)  # type: ignore[arg-type]
