"""Distances lie between their lower and upper bounds, in float32 and in bfloat16."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.bank import bounds
from softpatch.bank.bounds import BankBounds, PatchBounds
from softpatch.bank.sketch import COORDINATES
from softpatch.compute.scratch import ScratchSpace


def sketched(patches: Tensor, bf16: bool) -> PatchBounds:
    with pytest.MonkeyPatch.context() as patch:
        # Products in bfloat16 are slow without the instructions, and as right.
        patch.setattr(bounds, "has_bf16", lambda _: bf16)
        return PatchBounds(patches, torch.arange(len(patches)), ScratchSpace())


def scattered(n: int, dimension: int, spread: float, seed: int) -> Tensor:
    """Three clusters off the origin, of another width than they are far apart."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, dimension, generator=generator) + 2
    member = torch.randint(3, (n,), generator=generator)
    return centres[member] + spread * torch.randn(n, dimension, generator=generator)


@pytest.mark.parametrize("bf16", [False, True])
@given(
    n=st.integers(2, 60),
    dimension=st.sampled_from([1, 5, 64, 300]),
    spread=st.sampled_from([0.0, 1e-3, 1.0]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_distances_lie_between_the_bounds(
    bf16: bool, n: int, dimension: int, spread: float, scale: float, seed: int
) -> None:
    patches = scale * scattered(n, dimension, spread, seed)
    sketches = sketched(patches, bf16)
    assert sketches.rows.dtype == (torch.bfloat16 if bf16 else torch.float32)
    truth = torch.cdist(
        patches.double(), patches.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    centers = sketches.centers(torch.arange(n))
    product = sketches.squared(slice(0, n), centers)
    for which in range(n):
        one = sketches.centers(torch.tensor([which]))
        # The limit for a center's own distance must not rule that center out.
        limit = sketches.limit(slice(0, n), truth[:, which], one)
        assert bool((product[:, which] <= limit).all())
        most = sketches.upper_bound(slice(0, n), product[:, which], centers, which)
        assert bool((most >= truth[:, which] * (1 - 1e-6)).all())
    least = sketches.lower_bound(torch.arange(n), centers)
    assert bool((least <= truth * (1 + 1e-6)).all())


@pytest.mark.parametrize("bf16", [False, True])
def test_far_centers_are_ruled_out(bf16: bool) -> None:
    """Trivial bounds would hold as well."""
    patches = scattered(300, 64, 1.0, seed=0)
    sketches = sketched(patches, bf16)
    truth = torch.cdist(patches.double(), patches.double())
    centers = sketches.centers(torch.arange(300))
    product = sketches.squared(slice(0, 300), centers)
    other = ~torch.eye(300, dtype=torch.bool)
    for which in range(300):
        limit = sketches.limit(slice(0, 300), 0.9 * truth[:, which], centers)
        assert bool((product[:, which] > limit)[other[which]].all())
        most = sketches.upper_bound(slice(0, 300), product[:, which], centers, which)
        assert bool((most < 1.1 * truth[:, which])[other[which]].all())


def test_any_patches_can_be_centers() -> None:
    patches = scattered(40, 300, 1.0, seed=0)
    sketches = sketched(patches, bf16=False)
    members, others = sketches.centers(torch.arange(40)), sketches.centers_from(patches)
    torch.testing.assert_close(members.rows, others.rows)
    torch.testing.assert_close(members.residual, others.residual)
    assert not bool(members.rounding_error.any())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("dimension", [3, 300])
def test_rows_have_the_predicted_length(
    bf16: bool, dimension: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "has_bf16", lambda _: bf16)
    patches = scattered(400, dimension, 1.0, seed=0)
    sketches = sketched(patches, bf16)
    assert sketches.rows.dtype == bounds.number_format(torch.device("cpu"))
    assert sketches.rows.shape[1] == bounds.row_length(patches)


def test_rows_of_few_directions_are_short() -> None:
    patches = scattered(400, 8, 1.0, seed=0) @ torch.eye(8, 400)
    sketches = sketched(patches, bf16=True)
    assert sketches.rows.shape[1] == COORDINATES + 1 + 2 * bounds.PARTS


@pytest.mark.parametrize("bf16", [False, True])
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 60),
    dimension=st.sampled_from([1, 5, 64, 300, 600]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    far=st.sampled_from([0.0, 3.0]),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_vector_of_a_bank_is_nearer_than_its_limit_says(
    bf16: bool, n: int, m: int, dimension: int, scale: float, far: float, seed: int
) -> None:
    vectors = scale * scattered(m, dimension, 0.3, seed)
    patches = scale * (scattered(n, dimension, 1.0, seed + 1) + far)  # farther out than the bank
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "has_bf16", lambda _: bf16)
        squared, limit_of = BankBounds(vectors).squared(patches)
    truth = torch.cdist(
        patches.double(), vectors.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    centre = vectors.mean(dim=0)
    lengths = (patches - centre).norm(dim=1) + (vectors - centre).norm(dim=1).max()
    for which in range(m):
        assert bool((squared[:, which] <= limit_of(truth[:, which])).all())
        # And not much more: what rounding to 8 bits moves both ends and the product by.
        nearer = truth[:, which] - 0.02 * lengths
        if dimension <= 64:  # all coordinates are kept
            ruled_out = squared[:, which] > limit_of(nearer.clamp(min=0))
            assert bool((ruled_out | (nearer <= 0)).all())


def test_the_largest_rounding_is_covered() -> None:
    """Numbers just between two bfloat16 ones, all bounds the same way."""
    between = 1 + 2**-8 + 2**-20
    vectors = between * torch.tensor([[1.0], [-1.0]]).expand(2, 600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "has_bf16", lambda _: True)
        squared, limit_of = BankBounds(vectors).squared(vectors)
    same, apart = torch.zeros(2).double(), torch.full((2,), 2 * between * 600**0.5).double()
    assert bool((squared.diagonal() <= limit_of(same)).all())
    assert bool((squared.flip(1).diagonal() <= limit_of(apart)).all())
