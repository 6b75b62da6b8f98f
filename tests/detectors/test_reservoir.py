"""Samples that grow stay samples: of everything, each picture as likely as any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.detectors.reservoir import (
    DIMENSION,
    MOST_BYTES,
    PatchReservoir,
    compress,
    compression_axes,
    draw_union,
    sample_size,
    sampled,
    without_share,
)


@given(
    st.integers(0, 60), st.integers(0, 60), st.integers(1, 40), st.floats(0, 1), st.integers(0, 9)
)
def test_of_both_takes_all_or_exactly_the_most(
    old: int, new: int, most: int, share: float, draw: int
) -> None:
    one, other = draw_union(old, new, most, share, draw)
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
            one, other = draw_union(most, 1, most, 1 / (day + 1), 1000 * seed + day)
            sample = np.concatenate([sample[one.numpy()], day + other.numpy()])
        met[sample] += 1
    quarters = met.reshape(4, -1).sum(axis=1) / met.sum()
    np.testing.assert_allclose(quarters, 0.25, atol=0.06)


@given(st.integers(0, 200), st.floats(0, 0.99))
def test_that_share_is_forgotten(count: int, share: float) -> None:
    left = without_share(count, share, seed=3)
    assert len(left) == count - int(share * count)
    assert left.tolist() == sorted(set(left.tolist()))


def textured(images: int, seed: int, rank: int = 100) -> Tensor:
    """Patches that vary in the first of 1,024 directions."""
    patches = torch.full((images, 5, 1024), 3.0)
    generator = torch.Generator().manual_seed(seed)
    patches[..., :rank] += torch.randn(images, 5, rank, generator=generator)
    return patches


def distances(patches: Tensor) -> Tensor:
    flat = patches.flatten(0, 1).double()
    return (flat.unsqueeze(1) - flat).square().sum(dim=2).sqrt()


def test_shortened_patches_keep_most_of_a_distance_and_expect_the_rest() -> None:
    patches = textured(40, seed=0, rank=50)
    few = distances(compress(patches, compression_axes(patches.flatten(0, 1))))
    torch.testing.assert_close(few, distances(patches), rtol=0.01, atol=0.02)
    patches = textured(60, seed=0, rank=1024)
    squared = distances(patches).square()
    kept = distances(compress(patches, compression_axes(patches.flatten(0, 1)))).square()
    ratio = (kept / squared)[squared > 0]
    assert float(ratio.mean()) == pytest.approx(1, abs=0.05)


def test_a_patch_unlike_all_that_was_foreseen_stays_far_from_all() -> None:
    seen = textured(40, seed=0, rank=50)
    odd = textured(1, seed=1, rank=50)
    odd[0, 0, -20:] += 10  # in no direction that the others vary in
    short = compress(torch.cat([seen, odd]), compression_axes(seen.flatten(0, 1)))
    to_others = distances(short)[-5:, :-5]
    assert float(to_others[0].min()) > 2 * float(to_others[1:].max())


def sample_of(patches: Tensor) -> PatchReservoir:
    everyone = torch.arange(len(patches))
    directions = compression_axes(patches.flatten(0, 1))
    short = compress(patches, directions)
    return PatchReservoir.of(short, everyone, everyone, everyone, directions)


def test_samples_of_two_models_become_comparable() -> None:
    one, other = textured(40, seed=0, rank=50), 1 + textured(40, seed=1, rank=50)
    joined = sample_of(one).joined(sample_of(other), before=40)
    expected = compress(torch.cat([one, other]), joined.directions)
    torch.testing.assert_close(distances(joined.patches), distances(expected), rtol=0.02, atol=0.1)


def made(
    images: int, vectors: int, seed: int, directions: Tensor | None = None
) -> tuple[PatchReservoir, Tensor]:
    """A sample of all, and what its bank is."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(images, 3, 16, generator=generator)
    picks = torch.randperm(3 * images, generator=generator)[:vectors]
    everyone = torch.arange(images)
    if directions is None:
        directions = compression_axes(patches.flatten(0, 1))
    short = compress(patches, directions)
    sample = PatchReservoir.of(short, everyone, everyone, picks, directions)
    return sample, short.flatten(0, 1)[picks]


def assert_describes(sample: PatchReservoir, bank: Tensor) -> None:
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
    one, bank = made(old, 5, seed)
    other, joining = made(new, 7, seed + 100, one.directions)
    both, banks = one.joined(other, before=old), torch.cat([bank, joining])
    assert both.image_index.tolist() == list(range(old + new))
    assert_describes(both, banks)
    picks = torch.randperm(len(banks), generator=torch.Generator().manual_seed(seed))[:6]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softpatch.detectors.reservoir.MOST_BYTES", most * 2 * 3 * 16)
        drawn = both.drawn(picks, new, share=0.5, draw=seed)
    assert len(drawn.patches) == min(most, old + new)
    assert torch.equal(drawn.patches, both.patches[drawn.image_index])
    assert_describes(drawn, banks[picks])


def test_short_patches_are_kept_as_they_are() -> None:
    patches = torch.randn(50, 3, 16, generator=torch.Generator().manual_seed(0))
    directions = compression_axes(patches.flatten(0, 1))
    assert torch.equal(compress(patches, directions), patches.half())
    rows = torch.tensor([3, 8])
    assert torch.equal(compress(patches, directions, rows), patches[rows].half())


def test_a_sample_fits_in_its_bytes() -> None:
    assert sample_size(40, 784, 1024) == 40
    assert sample_size(10**6, 784, 1024) * 784 * DIMENSION * 2 <= MOST_BYTES
    assert len(sampled(5, 10**6, 1024, seed=0)) == 1


def test_tiles_are_not_whole_pictures() -> None:
    image_index = torch.tensor([0, 1, 1, 2])
    rows = torch.tensor([0, 2, 3])
    picks = torch.tensor([7, 2, 0])
    sample = PatchReservoir.of(torch.rand(3, 2, 4), rows, image_index, picks, torch.eye(4))
    assert sample.image_index.tolist() == [0, -1, 2]
    assert sample.of_bank.tolist() == [5, -1, 0]


@pytest.mark.parametrize("dimension", [16, 300])
def test_a_sample_is_restored_from_what_a_file_holds(dimension: int) -> None:
    sample = sample_of(torch.rand(7, 3, dimension))
    back = PatchReservoir.restored(sample.state(), dimension, images=7, vectors=7)
    for key, tensor in sample.state().items():
        assert torch.equal(back.state()[key], tensor)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("sample", torch.zeros(7, 3, 128)),
        ("sample", torch.zeros(7, 3, 127, dtype=torch.float16)),
        ("sample", torch.zeros(21, 128, dtype=torch.float16)),
        ("sample_owners", torch.full((7,), 7)),
        ("sample_owners", torch.zeros(6, dtype=torch.int64)),
        ("sample_of_bank", torch.full((7,), -2)),
        ("sample_of_bank", torch.full((7,), 21)),
        ("sample_directions", torch.zeros(300, 127)),
        ("sample_directions", torch.zeros(299, 128)),
        ("sample_directions", torch.zeros(300, 128, dtype=torch.float64)),
        ("sample_directions", torch.full((300, 128), 1e20)),
    ],
)
def test_what_is_no_sample_is_refused(key: str, wrong: Tensor) -> None:
    state = {**sample_of(torch.rand(7, 3, 300)).state(), key: wrong}
    with pytest.raises(ValueError, match="sample"):
        PatchReservoir.restored(state, 300, images=7, vectors=7)
