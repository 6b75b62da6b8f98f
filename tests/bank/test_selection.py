"""Selections equal torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch.bank.selection import ordered, smallest_of_rows, split_largest, where_set, within

shapes = st.tuples(st.integers(1, 20), st.integers(1, 30))


@given(shape=shapes, seed=st.integers(0, 1_000), share=st.sampled_from([0.0, 0.1, 1.0]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_where_set_is_torchs_nonzero(shape: tuple[int, int], seed: int, share: float) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share
    for ours, theirs in zip(where_set(mask), mask.nonzero(as_tuple=True), strict=True):
        assert torch.equal(ours, theirs)


@given(shape=shapes, seed=st.integers(0, 1_000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_first_of_equal_smallest_entries_is_taken(shape: tuple[int, int], seed: int) -> None:
    matrix = torch.randint(0, 3, shape, generator=torch.Generator().manual_seed(seed)).float()
    expected = [row.index(min(row)) for row in matrix.tolist()]
    assert smallest_of_rows(matrix).tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@given(shape=shapes, seed=st.integers(0, 1_000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_integers_compare_as_the_numbers_do(
    dtype: torch.dtype, shape: tuple[int, int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = (torch.randn(shape, generator=generator) + 1).to(dtype)
    limits = torch.rand(shape[0], generator=generator).to(dtype)
    limits[::2] = matrix[::2, 0].clamp(min=0)  # equal to an entry
    assert torch.equal(within(matrix, limits), matrix <= limits.unsqueeze(1))
    # Which of several negative numbers is smallest is not said.
    numbers = matrix.clamp(min=0)
    assert torch.equal(ordered(numbers).amin(dim=1).view(dtype), numbers.amin(dim=1))
    assert torch.equal(ordered(matrix).amin(dim=1) < 0, (matrix < 0).any(dim=1))


@given(n=st.integers(0, 40), count=st.integers(1, 45), seed=st.integers(0, 1_000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_largest_are_split_off(n: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 20, (n,), generator=generator).double()
    items = torch.randperm(n, generator=generator)
    largest, others = split_largest(items, values, count)
    assert len(largest) == min(n, count)
    assert sorted([*largest.tolist(), *others.tolist()]) == list(range(n))
    value = dict(zip(items.tolist(), values.tolist(), strict=True))
    split = sorted(value.values(), reverse=True)[:count]
    assert sorted((value[item] for item in largest.tolist()), reverse=True) == split
