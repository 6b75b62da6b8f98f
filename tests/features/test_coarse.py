"""What is left of patches from afar."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch.features.coarse import LENGTH, CoarseFeatures, averaged
from softpatch.features.embedding import PatchEmbedding


@pytest.mark.parametrize("kind", ["neighbourhood", "average", "concat"])
def test_numbers_are_those_that_the_coarsest_layer_alone_moves(kind: str) -> None:
    embedding = PatchEmbedding((6, 10), kind, 40)  # type: ignore[arg-type]
    fine, coarse = torch.rand(1, 6, 4, 4), torch.rand(1, 10, 2, 2)
    numbers = CoarseFeatures.of(embedding)
    whole = embedding([fine, coarse])
    assert torch.equal(numbers(whole), numbers(embedding([fine + 1, coarse])))
    moved = numbers(embedding([fine, coarse + 1])) - numbers(whole)
    assert bool((moved > 0.1).all())
    assert moved.shape[-1] == numbers.length == {"neighbourhood": 20}.get(kind, 10)


def test_roots_are_undone() -> None:
    fine, coarse = torch.randn(1, 6, 4, 4), torch.randn(1, 10, 2, 2)
    plain, rooted = (
        CoarseFeatures.of(embedding)(embedding([fine, coarse]))
        for embedding in (PatchEmbedding((6, 10), kind, 40) for kind in ("neighbourhood", "rooted"))
    )
    torch.testing.assert_close(rooted, plain)


def test_many_numbers_are_projected_and_distances_about_kept() -> None:
    numbers = CoarseFeatures(slice(100, 700), rooted=False)
    patches = torch.randn(50, 700, generator=torch.Generator().manual_seed(0))
    short = numbers(patches)
    assert short.shape == (50, LENGTH)
    ratio = torch.pdist(short) / torch.pdist(patches[:, 100:])
    assert ratio.max() / ratio.min() < 1.6


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    views=st.integers(1, 3), h=st.integers(1, 5), w=st.integers(1, 5), seed=st.integers(0, 999),
    cut_out=st.booleans(),
)  # fmt: skip
def test_averages_are_over_the_neighbours_that_there_are(
    views: int, h: int, w: int, seed: int, cut_out: bool
) -> None:
    random = torch.Generator().manual_seed(seed)
    inside = torch.rand(views, h * w, generator=random) < (0.6 if cut_out else 2)
    inside[0, 0] = True
    numbers = torch.randn(2, int(inside.sum()), 3, generator=random)
    found = averaged(numbers, (h, w), inside if cut_out else None)
    places = inside.nonzero().tolist()
    for at, (view, cell) in enumerate(places):
        near = [
            other for other, (its, place) in enumerate(places)
            if its == view
            and abs(place // w - cell // w) <= 1 and abs(place % w - cell % w) <= 1
        ]  # fmt: skip
        torch.testing.assert_close(found[:, at], numbers[:, near].mean(dim=1))


def test_without_a_region_it_is_torchs_pooling() -> None:
    numbers = torch.randn(4, 12, 2, generator=torch.Generator().manual_seed(0))
    maps = numbers.view(4, 3, 4, 2).permute(0, 3, 1, 2)
    expected = F.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
    found = averaged(numbers, (3, 4)).view(4, 3, 4, 2).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected)
