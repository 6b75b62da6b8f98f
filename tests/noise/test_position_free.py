"""Position-free scores equal their definition, and do not depend on positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch.noise import position_free as module
from softpatch.noise.position_free import PositionFree
from tests.noise.test_protocol import random_patches
from tests.reference.discriminators import anywhere


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    positions=st.integers(1, 8), images=st.integers(2, 6), seed=st.integers(0, 1000),
    shift=st.sampled_from([0.0, 300.0]),
)  # fmt: skip
def test_is_the_distance_to_the_second_nearest_image(
    positions: int, images: int, seed: int, shift: float
) -> None:
    patches = random_patches(positions, images, 5, seed) + shift
    expected = anywhere(patches.double().numpy())
    found = PositionFree()(patches).double().numpy()
    if positions * images % 2 == 0:  # torch takes the lower of two medians
        expected, found = expected / expected.max(), found / found.max()
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_where_a_patch_lies_does_not_matter() -> None:
    patches = random_patches(9, 8, 6)
    shuffled = patches.clone()
    order = torch.tensor([3, 1, 8, 0, 2, 7, 5, 4, 6])
    shuffled[:, 5] = patches[order, 5]
    there, here = PositionFree()(patches), PositionFree()(shuffled)
    torch.testing.assert_close(here[:, 5], there[order, 5])
    torch.testing.assert_close(here[:, :5], there[:, :5])


def test_what_two_others_show_anywhere_is_usual_and_what_one_shows_is_not() -> None:
    patches = random_patches(9, 12, 6)
    strange = torch.full((6,), 20.0)
    patches[0, 0] = patches[4, 1] = strange
    scores = PositionFree()(patches)
    assert scores.flatten().topk(2).indices.sort().values.tolist() == [0, 4 * 12 + 1]
    patches[7, 2] = strange
    assert max(PositionFree()(patches)[at] for at in ((0, 0), (4, 1), (7, 2))) < 1e-6


def test_many_patches_are_compared_with_some_that_cover_an_image() -> None:
    patches = random_patches(130, 5, 4)
    patches[17] += 40  # rare, but in every image
    discriminate = PositionFree()
    assert discriminate.sampled(130) == 60
    assert discriminate.sampled(6500) == 500
    scores = discriminate(patches)
    assert scores[17].max() < 10


@pytest.mark.parametrize("references", [2, 7])
def test_all_images_are_compared_with_the_references_alone(references: int) -> None:
    patches = random_patches(6, 20, 4)
    discriminate = PositionFree(references, seed=3)
    chosen = discriminate.chosen(20, 6)
    assert len(chosen) == references
    scores = discriminate(patches)
    stranger = next(image for image in range(20) if image not in chosen)
    for image in (stranger, int(chosen[0])):
        others = [at for at in chosen.tolist() if at != image]
        alone = patches[:, [image, *others]].double().numpy()
        ratio = scores[:, image].double().numpy() / anywhere(alone)[:, 0]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_references_are_as_many_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(PositionFree().chosen(5000, 784)) == 333
    assert len(PositionFree().chosen(100, 784)) == 100
    monkeypatch.setattr(module, "MAX_REFERENCE_PATCHES", 10)
    assert len(PositionFree().chosen(100, 784)) == 2
