"""Bounds never exceed the distances they bound, whatever the processor multiplies in."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch import bounds
from softpatch.bounds import DistanceBounds
from softpatch.sketch import ROUNDING

has_bf16 = bounds.has_bf16(torch.device("cpu"))
in_float32_too = pytest.mark.parametrize("bf16", [False, True])


@in_float32_too
@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 50), st.integers(1, 600)),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    offset=st.sampled_from([0.0, 3.0]),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_bounds_are_lower_bounds(
    bf16: bool, sizes: tuple[int, int, int], scale: float, offset: float, seed: int
) -> None:
    queries, count, dimension = sizes
    generator = torch.Generator().manual_seed(seed)
    x = scale * (torch.randn(queries, dimension, generator=generator) + offset)
    z = scale * (torch.randn(count, dimension, generator=generator) + offset)
    with pytest.MonkeyPatch.context() as patch:
        # Products in bfloat16 are slow without the instructions, and as right.
        patch.setattr(bounds, "has_bf16", lambda _: bf16)
        found = DistanceBounds(z)(x).double()
    truth = torch.cdist(x.double(), z.double()).square() - x.double().square().sum(1, keepdim=True)
    slack = ROUNDING * float(x.double().square().sum(1).max() + z.double().square().sum(1).max())
    assert bool((found <= truth + slack).all())
    # And not much lower: three roundings to 8 bits either way.
    lengths = x.double().norm(dim=1, keepdim=True) * z.double().norm(dim=1)
    assert bool((found >= truth - slack - (0.05 * lengths if bf16 else 0)).all())


def test_the_largest_rounding_is_covered() -> None:
    """Numbers just between two bfloat16 ones, all rounded the same way."""
    between = 1 + 2**-8 + 2**-20
    x = torch.full((1, 512), between)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "has_bf16", lambda _: True)
        bound = float(DistanceBounds(x)(x))
    assert bound <= -512 * between**2
