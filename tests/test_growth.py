"""Samples that grow stay samples: of everything, each picture as likely as any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.growth import (
    DIMENSION,
    MOST_BYTES,
    PictureSample,
    of_both,
    sample_size,
    sampled,
    shortened,
    without_share,
)


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


def made(images: int, vectors: int, seed: int) -> tuple[PictureSample, Tensor]:
    """A sample of all, and what its bank is."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(images, 3, 16, generator=generator)
    picks = torch.randperm(3 * images, generator=generator)[:vectors]
    everyone = torch.arange(images)
    sample = PictureSample.of(shortened(patches), everyone, everyone, picks)
    return sample, shortened(patches).flatten(0, 1)[picks]


def assert_describes(sample: PictureSample, bank: Tensor) -> None:
    """Where it says so, each vector of the bank is that patch of the sample."""
    known = sample.of_bank >= 0
    assert torch.equal(sample.patches.flatten(0, 1)[sample.of_bank[known]], bank[known])
    gone = bank[~known].unsqueeze(1) == sample.patches.flatten(0, 1)
    assert not gone.all(dim=2).any()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 24), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_sample_knows_its_pictures_and_the_bank_whatever_is_drawn(
    old: int, new: int, most: int, seed: int
) -> None:
    (one, bank), (other, joining) = made(old, 5, seed), made(new, 7, seed + 100)
    both, banks = one.joined(other, before=old), torch.cat([bank, joining])
    assert both.owners.tolist() == list(range(old + new))
    assert_describes(both, banks)
    picks = torch.randperm(len(banks), generator=torch.Generator().manual_seed(seed))[:6]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softpatch.growth.MOST_BYTES", most * 2 * 3 * 16)
        drawn = both.drawn(picks, new, share=0.5, draw=seed)
    assert len(drawn.patches) == min(most, old + new)
    assert torch.equal(drawn.patches, both.patches[drawn.owners])
    assert_describes(drawn, banks[picks])


def test_short_patches_are_kept_as_they_are() -> None:
    patches = torch.randn(50, 3, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(shortened(patches), patches.half())
    rows = torch.tensor([3, 8])
    assert torch.equal(shortened(patches, rows), patches[rows].half())


def test_a_sample_fits_in_its_bytes() -> None:
    assert sample_size(40, 784, 1024) == 40
    assert sample_size(10**6, 784, 1024) * 784 * DIMENSION * 2 <= MOST_BYTES
    assert len(sampled(5, 10**6, 1024, seed=0)) == 1


def test_tiles_are_not_whole_pictures() -> None:
    owners = torch.tensor([0, 1, 1, 2])
    rows = torch.tensor([0, 2, 3])
    sample = PictureSample.of(torch.rand(3, 2, 4), rows, owners, torch.tensor([7, 2, 0]))
    assert sample.owners.tolist() == [0, -1, 2]
    assert sample.of_bank.tolist() == [5, -1, 0]
