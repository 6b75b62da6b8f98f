"""Samples that grow stay samples: of everything, each picture as likely as any other."""

from __future__ import annotations

from dataclasses import replace

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
    reservoir_rows,
    reservoir_size,
    without_share,
)
from tests.detectors.tables import table_of


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
    return PatchReservoir.of(table_of(patches), torch.arange(len(patches)), seed=0)


def test_samples_of_two_models_become_comparable() -> None:
    one, other = textured(40, seed=0, rank=50), 1 + textured(40, seed=1, rank=50)
    joined = sample_of(one).joined(sample_of(other), 40 + torch.arange(40))
    expected = compress(torch.cat([one, other]), joined.axes)
    torch.testing.assert_close(distances(joined.patches), distances(expected), rtol=0.02, atol=0.1)


def made(
    images: int, vectors: int, seed: int, axes: Tensor | None = None
) -> tuple[PatchReservoir, Tensor]:
    """A sample of all, and what its bank is."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(images, 3, 16, generator=generator)
    picks = torch.randperm(3 * images, generator=generator)[:vectors]
    sample = PatchReservoir.of(table_of(patches), picks, seed=0)
    if axes is not None:
        sample = replace(PatchReservoir.of_new(table_of(patches), axes), bank_patch_index=picks)
    return sample, sample.patches.flatten(0, 1)[picks]


def assert_describes(sample: PatchReservoir, bank: Tensor) -> None:
    """Where it says so, each vector of the bank is that patch of the sample."""
    known = sample.bank_patch_index >= 0
    assert torch.equal(sample.patches.flatten(0, 1)[sample.bank_patch_index[known]], bank[known])
    gone = bank[~known].unsqueeze(1) == sample.patches.flatten(0, 1)
    assert not gone.all(dim=2).any()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 24), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_sample_knows_its_pictures_and_the_bank_whatever_is_drawn(
    old: int, new: int, most: int, seed: int
) -> None:
    one, bank = made(old, 5, seed)
    other, joining = made(new, 7, seed + 100, one.axes)
    both, banks = one.joined(other, old + torch.arange(new)), torch.cat([bank, joining])
    assert both.image_index.tolist() == list(range(old + new))
    assert_describes(both, banks)
    picks = torch.randperm(len(banks), generator=torch.Generator().manual_seed(seed))[:6]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softpatch.detectors.reservoir.MOST_BYTES", most * 2 * 3 * 16)
        drawn = both.subsample(picks, new, share=0.5, draw=seed)
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
    assert reservoir_size(40, 784, 1024) == 40
    assert reservoir_size(10**6, 784, 1024) * 784 * DIMENSION * 2 <= MOST_BYTES
    assert len(reservoir_rows(5, 10**6, 1024, seed=0)) == 1


def test_tiles_are_not_whole_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softpatch.detectors.reservoir.MOST_BYTES", 3 * 2 * 2 * 4)
    table = table_of(torch.rand(4, 2, 4), torch.tensor([0, 1, 1, 2]))
    rows = reservoir_rows(4, 2, 4, seed=2).tolist()
    assert len(rows) == 3
    sample = PatchReservoir.of(table, torch.tensor([7, 2, 0]), seed=2)
    assert sample.image_index.tolist() == [[0, -1, -1, 2][row] for row in rows]
    places = {2 * row + column: 2 * at + column for at, row in enumerate(rows) for column in (0, 1)}
    assert sample.bank_patch_index.tolist() == [places.get(pick, -1) for pick in (7, 2, 0)]


@pytest.mark.parametrize("dimension", [16, 300])
def test_a_sample_is_restored_from_what_a_file_holds(dimension: int) -> None:
    sample = sample_of(torch.rand(7, 3, dimension))
    back = PatchReservoir.restored(sample.tensors(), dimension, images=7, vectors=7)
    for key, tensor in sample.tensors().items():
        assert torch.equal(back.tensors()[key], tensor)


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
    state = {**sample_of(torch.rand(7, 3, 300)).tensors(), key: wrong}
    with pytest.raises(ValueError, match="sample"):
        PatchReservoir.restored(state, 300, images=7, vectors=7)
