"""The lazy greedy coreset picks what the naive rule picks, pick for pick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.errors import UsageError
from tests.reference.coreset import greedy_k_center
from tests.threads import thread_count


def gaussian(n: int, dimension: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dimension, generator=torch.Generator().manual_seed(seed))


def clustered(n: int, dimension: int, seed: int = 0) -> Tensor:
    """Five tight clusters far apart, off the origin."""
    centres = 100 * gaussian(5, dimension, seed) + 50
    member = torch.randint(5, (n,), generator=torch.Generator().manual_seed(seed))
    return centres[member] + 0.1 * gaussian(n, dimension, seed + 1)


def low_rank(n: int, dimension: int, seed: int = 0) -> Tensor:
    """On a plane of three dimensions, as correlated channels are."""
    return gaussian(n, 3, seed) @ gaussian(3, dimension, seed + 1)


def repeated(n: int, dimension: int, seed: int = 0) -> Tensor:
    """Every vector about four times."""
    distinct = gaussian(max(1, n // 4), dimension, seed)
    chosen = torch.randint(len(distinct), (n,), generator=torch.Generator().manual_seed(seed))
    return distinct[chosen]


def heavy_tailed(n: int, dimension: int, seed: int = 0) -> Tensor:
    return gaussian(n, dimension, seed).exp()


def mask(n: int, share: float, seed: int = 0) -> Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(seed)) < share


@pytest.fixture(params=["float32", "bfloat16"])
def numbers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What patches are rounded to, whatever the processor multiplies itself."""
    monkeypatch.setattr("softpatch.bank.bounds.has_bf16", lambda _: request.param == "bfloat16")


def assert_same_picks(patches: Tensor, size: int, **options: Any) -> None:
    picks = greedy_coreset(patches, size, **options)
    assert picks.dtype == torch.int64
    assert picks.tolist() == greedy_k_center(patches, size, **options)


@pytest.mark.usefixtures("numbers")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("make", [gaussian, clustered, low_rank, repeated, heavy_tailed])
@pytest.mark.parametrize(
    ("n", "dimension", "size"),
    [
        (2, 1, 1),
        (9, 3, 9),  # fewer than the ten starting patches
        (60, 1, 30),
        (511, 7, 100),  # one block holds everybody
        (513, 7, 400),
        (2_000, 16, 200),
        (1_200, 200, 120),
        (700, 300, 120),  # more dimensions than the sketch
    ],
)
def test_picks_are_those_of_the_naive_rule(
    make: Any, n: int, dimension: int, size: int, seed: int
) -> None:
    assert_same_picks(make(n, dimension, seed), size, seed=seed)


@given(
    n=st.integers(2, 300),
    dimension=st.integers(1, 12),
    size=st.integers(1, 310),
    share=st.floats(0.1, 1),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_shape_and_any_mask(n: int, dimension: int, size: int, share: float, seed: int) -> None:
    eligible = mask(n, share, seed)
    eligible[seed % n] = True
    assert_same_picks(gaussian(n, dimension, seed), size, eligible=eligible, seed=seed)


@pytest.mark.parametrize("make", [gaussian, clustered, repeated])
@pytest.mark.parametrize("picked", [0, 1, 40, 100])
def test_it_goes_on_from_what_was_picked(
    make: Any, picked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches, eligible = make(600, 12), mask(600, 0.8)
    picks = greedy_coreset(patches, 100, eligible=eligible, seed=3)
    monkeypatch.setattr("softpatch.bank.coreset.BLOCK", 16)
    rest = greedy_coreset(patches, 100, eligible=eligible, picked=picks[:picked], seed=3)
    assert rest.tolist() == picks.tolist()


@pytest.mark.usefixtures("numbers")
@pytest.mark.parametrize("size", [1, 600])
def test_real_patches(bottle_patches: Tensor, size: int) -> None:
    patches = bottle_patches.flatten(0, 2)
    patches = patches[:: len(patches) // 6_000][:6_000]
    assert_same_picks(patches, size)


def test_real_patches_with_a_mask(bottle_patches: Tensor) -> None:
    patches = bottle_patches[::12].flatten(0, 2)
    assert_same_picks(patches, 150, eligible=mask(len(patches), 0.85), seed=3)


@pytest.mark.parametrize(
    "name",
    [
        "bank.coreset.BLOCK",
        "bank.coreset.TIGHTENED",
        "bank.coreset_distances.ROWS_TIGHTENED",
        "bank.coreset_distances.ROWS_RESOLVED",
        "bank.coreset_distances.CENTERS",
        "bank.coreset_distances.ROWS",
        "bank.sketch.COORDINATES",
        "bank.sketch.SAMPLE",
        "compute.scratch.CHUNK_BYTES",
    ],
)
@pytest.mark.parametrize("value", [1, 3, 64, 100_000])
@pytest.mark.parametrize("make", [gaussian, clustered])
def test_working_sizes_do_not_change_picks(
    make: Any, name: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches = make(500, 20)
    monkeypatch.setattr(f"softpatch.{name}", value)
    assert_same_picks(patches, 100)


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_count_does_not_change_picks(threads: int) -> None:
    patches = gaussian(1_000, 64)
    with thread_count(threads):
        assert_same_picks(patches, 100)


@pytest.mark.parametrize(
    "sides",
    [
        pytest.param((2,) * 6, id="hypercube"),
        pytest.param((8, 8), id="square"),
        pytest.param((30, 30), id="more-than-a-block"),
    ],
)
def test_ties_go_to_the_lower_index(sides: tuple[int, ...]) -> None:
    """Corners of a grid: equal distances everywhere, and exact in float64."""
    axes = [torch.arange(side, dtype=torch.float32) for side in sides]
    grid = torch.cartesian_prod(*axes)
    order = torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))
    assert_same_picks(grid[order], len(grid) // 2)


@pytest.mark.parametrize("copies", [2, 300])
def test_every_distinct_patch_is_picked_once(copies: int) -> None:
    distinct = gaussian(7, 5)
    patches = distinct.repeat(copies, 1)
    picks = greedy_coreset(patches, 1_000)
    assert picks.tolist() == greedy_k_center(patches, 1_000)
    assert len(picks) == 7
    assert sorted(patches[picks].tolist()) == sorted(distinct.tolist())


def test_far_from_the_origin_equal_patches_stay_equal() -> None:
    """Distances by inner products would see 1e-3 between copies at 1e4, and pick copies."""
    patches = (gaussian(50, 8) + 1e4).repeat(3, 1)
    assert_same_picks(patches, 150)
    assert len(greedy_coreset(patches, 150)) == 50


@pytest.mark.parametrize("n", [1, 2, 40, 1_000])
def test_equal_patches_give_one_pick(n: int) -> None:
    assert greedy_coreset(torch.full((n, 3), 0.7), 5).tolist() == [0]


def test_a_single_eligible_patch_is_the_pick() -> None:
    eligible = torch.zeros(30, dtype=torch.bool)
    eligible[17] = True
    assert greedy_coreset(gaussian(30, 4), 5, eligible=eligible).tolist() == [17]


@pytest.mark.parametrize("seed", range(5))
def test_masked_patches_are_never_picked_the_first_included(seed: int) -> None:
    """The farthest patch of all is masked: the unmasked rule would take it first."""
    patches = gaussian(400, 6)
    patches[[11, 300]] = 1e3
    eligible = mask(400, 0.5, seed)
    eligible[[11, 300]] = False
    assert greedy_coreset(patches, 1, seed=seed).tolist() == [11]
    for size in (1, 100, 400):
        picks = greedy_coreset(patches, size, eligible=eligible, seed=seed)
        assert bool(eligible[picks].all())
        assert len(picks) == min(size, int(eligible.sum()))


def test_masked_patches_do_not_matter() -> None:
    patches, eligible = gaussian(900, 5), mask(900, 0.6)
    moved = torch.where(eligible.unsqueeze(1), patches, 100 * patches + 7)
    picks = greedy_coreset(patches, 90, eligible=eligible)
    assert picks.tolist() == greedy_coreset(moved, 90, eligible=eligible).tolist()


def test_more_picks_continue_the_same_sequence() -> None:
    patches = gaussian(1_500, 10)
    assert greedy_coreset(patches, 50).tolist() == greedy_coreset(patches, 300).tolist()[:50]


def test_every_patch_lies_within_the_last_picks_distance() -> None:
    """What k-center is for: no patch is farther from the bank than the next pick would be."""
    patches = gaussian(800, 4)
    picks = greedy_coreset(patches, 80)
    gap = torch.cdist(patches.double(), patches[picks].double()).amin(dim=1).max()
    last = torch.cdist(patches[picks[-1:]].double(), patches[picks[:-1]].double()).min()
    assert gap <= last


def test_seed_decides_the_start() -> None:
    patches = torch.from_numpy(np.linspace(0, 1, 500, dtype=np.float32)).unsqueeze(1)
    first = {int(greedy_coreset(patches, 1, seed=seed)) for seed in range(20)}
    assert first == {0, 499}  # an end of the line, whichever is farther from the ten drawn


def test_progress_ends_complete() -> None:
    heard: list[tuple[str, int, int]] = []
    greedy_coreset(
        gaussian(700, 3), 200, progress=lambda step, done, total: heard.append((step, done, total))
    )
    assert heard[-1] == ("coreset", 200, 200)
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)


@pytest.mark.parametrize(
    ("patches", "size", "eligible", "message"),
    [
        (torch.zeros(2, 3, 4), 1, None, r"\(n, D\).*\(2, 3, 4\)"),
        (torch.zeros(5, 2), 0, None, "at least 1 patch, got 0"),
        (torch.zeros(5, 2), 1, torch.zeros(5, dtype=torch.bool), "rejected as an outlier"),
    ],
)
def test_what_cannot_be_picked_from_is_an_error(
    patches: Tensor, size: int, eligible: Tensor | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        greedy_coreset(patches, size, eligible=eligible)
