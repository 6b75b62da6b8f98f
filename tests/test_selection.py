"""Selections equal torch's own."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch.selection import smallest_of_rows, where_set

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
