"""Samples that grow stay samples: of everything, each picture as likely as any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softpatch.growth import DIMENSION, SAMPLED, PictureSample, of_both, shortened, without_share


@given(
    st.integers(0, 60), st.integers(0, 60), st.integers(1, 40), st.floats(0, 1), st.integers(0, 9)
)
def test_of_both_takes_all_or_exactly_the_most(
    old: int, new: int, most: int, share: float, draw: int
) -> None:
    one, other = of_both(old, new, most, share, draw)
    assert len(one) + len(other) == min(most, old + new)
    for indices, count in ((one, old), (other, new)):
        assert indices.tolist() == sorted(set(indices.tolist()))
        assert all(0 <= index < count for index in indices.tolist())


def test_a_picture_a_day_is_as_likely_to_be_in_the_sample() -> None:
    """80 samples that met 100 pictures one by one: early and late ones are in them alike."""
    days, most = 100, 10
    met = np.zeros(days)
    for seed in range(80):
        sample = np.arange(most)
        for day in range(most, days):
            one, other = of_both(most, 1, most, 1 / (day + 1), 1000 * seed + day)
            sample = np.concatenate([sample[one.numpy()], day + other.numpy()])
        met[sample] += 1
    quarters = met.reshape(4, -1).sum(axis=1) / met.sum()
    np.testing.assert_allclose(quarters, 0.25, atol=0.06)


@given(st.integers(0, 200), st.floats(0, 0.99))
def test_that_share_is_forgotten(count: int, share: float) -> None:
    left = without_share(count, share, seed=3)
    assert len(left) == count - int(share * count)
    assert left.tolist() == sorted(set(left.tolist()))


def test_shortened_patches_keep_their_squared_distances() -> None:
    patches = 3 + torch.randn(40, 5, 1024, generator=torch.Generator().manual_seed(0))
    short = shortened(patches).float()
    assert short.shape == (40, 5, DIMENSION)
    squared = [
        (array[:20] - array[20:]).square().sum(dim=2).flatten().double()
        for array in (short, patches)
    ]
    ratio = squared[0] / squared[1]
    assert float(ratio.mean()) == pytest.approx(1, abs=0.05)
    assert float(ratio.std()) < 2 * (2 / DIMENSION) ** 0.5


def test_short_patches_are_kept_as_they_are() -> None:
    patches = torch.randn(50, 3, 16, generator=torch.Generator().manual_seed(0))
    sample = PictureSample.of(patches, seed=0)
    assert sample.patches.shape == (SAMPLED, 3, 16)
    kept = {row.numpy().tobytes() for row in patches.half()}
    assert all(row.numpy().tobytes() in kept for row in sample.patches)
