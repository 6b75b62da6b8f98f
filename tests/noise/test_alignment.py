"""Alignment equals a loop over patches, and is right where the answer is known."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from softpatch.noise.alignment import COMPARED, NEAR, alignment, compared, places

GRID = (6, 5)


def pictures(number: int, noise: float, *, shuffled: bool = False, seed: int = 0) -> Tensor:
    """``(number, P, 8)``: every place has a look of its own, which all pictures share."""
    generator = torch.Generator().manual_seed(seed)
    positions = GRID[0] * GRID[1]
    looks = torch.randn(positions, 8, generator=generator)
    found = []
    for _ in range(number):
        order = torch.randperm(positions, generator=generator) if shuffled else slice(None)
        found.append(looks[order] + noise * torch.randn(positions, 8, generator=generator))
    return torch.stack(found)


def by_loop(patches: Tensor) -> float:
    h, w = GRID
    hits = total = 0
    for one, other in pairwise(patches):
        for at, patch in enumerate(one):
            nearest = int((other - patch).square().sum(dim=1).argmin())
            down = abs(at // w - nearest // w) / h
            across = abs(at % w - nearest % w) / w
            hits += down <= NEAR and across <= NEAR
            total += 1
    return hits / total


@given(number=st.integers(2, 6), noise=st.sampled_from([0.1, 1.0, 3.0]), seed=st.integers(0, 99))
def test_equals_a_loop(number: int, noise: float, seed: int) -> None:
    patches = pictures(number, noise, seed=seed)
    assert alignment(patches, places(GRID)) == pytest.approx(by_loop(patches))


def test_same_looks_at_the_same_places_are_aligned() -> None:
    assert alignment(pictures(5, 0.01), places(GRID)) == 1.0


def test_same_looks_anywhere_are_not() -> None:
    assert alignment(pictures(20, 0.01, shuffled=True), places(GRID)) < 0.15


def test_places_are_rows_then_columns_as_shares_of_the_sides() -> None:
    found = places((2, 4))
    assert found.tolist() == [[r / 2, c / 4] for r in range(2) for c in range(4)]


@pytest.mark.parametrize("number", [2, 3, 49, 50, 51, 100, 101, 1234])
def test_compares_few_pictures_from_all_over_and_again_the_same_of_those(number: int) -> None:
    rows = compared(number)
    assert 2 <= len(rows) <= COMPARED + 1
    assert rows[0] == 0
    assert rows[-1] >= 0.48 * number
    assert compared(len(rows)).tolist() == list(range(len(rows)))
