"""A sketch never overstates a distance, and pair distances depend on nothing but the pair."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.bank import sketch
from softpatch.bank.sketch import ROUNDING, Sketch, pair_bounds, pair_distances


def assert_bounds_from_below(vectors: Tensor, sketches: Tensor) -> None:
    bound = torch.cdist(sketches.double(), sketches.double()).square()
    truth = torch.cdist(vectors.double(), vectors.double()).square()
    largest = float(sketches.double().square().sum(dim=1).max())
    assert bool((bound <= truth + ROUNDING * largest).all())


@given(
    n=st.integers(2, 80),
    dimension=st.integers(1, 200),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_sketch_distances_are_lower_bounds(n: int, dimension: int, scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = scale * (torch.randn(n, dimension, generator=generator) + 1)
    assert_bounds_from_below(vectors, Sketch(vectors, 1.0)(vectors))
    assert_bounds_from_below(
        vectors, Sketch(vectors[: n // 2 + 1], 1.0)(vectors)
    )  # fitted to others


def test_sketch_distances_are_lower_bounds_on_real_patches(bottle_patches: Tensor) -> None:
    vectors = bottle_patches.flatten(0, 2)[::40]
    assert_bounds_from_below(vectors, Sketch(vectors, 1.0)(vectors))


def test_up_to_128_dimensions_the_sketch_keeps_distances() -> None:
    vectors = torch.randn(50, 100, generator=torch.Generator().manual_seed(0))
    sketches = Sketch(vectors, 1.0)(vectors).double()
    truth = torch.cdist(vectors.double(), vectors.double())
    torch.testing.assert_close(torch.cdist(sketches, sketches), truth, rtol=1e-4, atol=1e-4)


def test_members_are_sketched_as_the_whole() -> None:
    vectors = torch.randn(50, 30, generator=torch.Generator().manual_seed(0))
    members = torch.tensor([3, 49, 3, 0])
    make = Sketch(vectors, 1.0)
    torch.testing.assert_close(make(vectors, members), make(vectors)[members])


@pytest.mark.parametrize("pairs", [1, 7, 512])
def test_pair_distances_are_those_of_the_pairs(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(20, 33, generator=generator), torch.randn(15, 33, generator=generator)
    row, column = torch.arange(300) % 20, torch.arange(300) % 15
    monkeypatch.setattr(sketch, "PAIRS", pairs)
    distances = pair_distances(a, row, b, column)
    alone = [
        pair_distances(a, row[i : i + 1], b, column[i : i + 1]).item() for i in range(len(row))
    ]
    expected = (a[row].double() - b[column].double()).square().sum(dim=1).sqrt()
    assert distances.tolist() == alone
    torch.testing.assert_close(distances, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("dimension", [1, 33, 1024])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_pair_bounds_are_no_less_than_the_distances(dimension: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    patches = scale * (torch.randn(100, dimension, generator=generator) + 3)
    patches[1] = patches[0]
    row, column = torch.arange(300) % 100, (7 * torch.arange(300) + 1) % 100
    bounds = pair_bounds(patches, row, column)
    distances = pair_distances(patches, row, patches, column)
    assert bool((bounds >= distances).all())
    torch.testing.assert_close(bounds, distances, rtol=2e-4, atol=0)
    assert float(bounds[0]) == 0


def test_the_coordinates_are_those_of_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a fixed step through the patches would see but one place of the pictures."""
    monkeypatch.setattr(sketch, "SAMPLE", 100)
    monkeypatch.setattr(sketch, "COORDINATES", 1)
    generator = torch.Generator().manual_seed(0)
    axes = torch.eye(20).view(4, 5, 20)  # the patches of every place vary in 5 of 20 directions
    vary = torch.randn(100, 4, 5, generator=generator)
    patches = torch.einsum("npa,pad->npd", vary, axes).flatten(0, 1)
    left_out = Sketch(patches, left_out=0.05)(patches)[:, -1].square().sum()
    assert float(left_out / patches.square().sum()) < 0.1


@pytest.mark.parametrize("dimension", [64, 512, 1024])
@pytest.mark.parametrize("patches", [1, 3, 10])
def test_few_or_equal_patches_have_axes(patches: int, dimension: int) -> None:
    """Where the eigen-decomposition fails in float32, as it does for three equal patches."""
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(1, dimension, generator=generator)
    chosen = torch.randint(dimension, (patches,), generator=generator)
    for vectors in (one.repeat(patches, 1), torch.eye(dimension)[chosen]):
        _, variances, axes = sketch.principal_axes(vectors)
        assert axes.dtype == variances.dtype == torch.float32
        torch.testing.assert_close(axes.T @ axes, torch.eye(dimension), atol=1e-4, rtol=0)
        assert_bounds_from_below(vectors, Sketch(vectors, 0.1)(vectors))
