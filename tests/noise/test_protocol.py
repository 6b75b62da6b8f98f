"""Properties that all discriminators share."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.compute import scratch
from softpatch.errors import UsageError
from softpatch.noise.discriminators import DISCRIMINATORS, make_discriminator

every_discriminator = pytest.mark.parametrize("name", DISCRIMINATORS)


def random_patches(positions: int, images: int, dimension: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    patches: Tensor = torch.randn(positions, images, dimension, generator=generator)
    return patches


@every_discriminator
def test_one_positive_float32_score_for_each_patch(name: str) -> None:
    scores = make_discriminator(name, k=3)(random_patches(4, 9, 7))
    assert scores.shape == (4, 9)
    assert scores.dtype == torch.float32
    assert bool((scores > 0).all())


@every_discriminator
@given(
    positions=st.integers(1, 6),
    images=st.integers(2, 15),
    dimension=st.integers(1, 20),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_order_of_images_and_positions_does_not_matter(
    name: str, positions: int, images: int, dimension: int, seed: int
) -> None:
    patches = random_patches(positions, images, dimension, seed)
    generator = torch.Generator().manual_seed(seed)
    position = torch.randperm(positions, generator=generator)
    image = torch.randperm(images, generator=generator)
    discriminate = make_discriminator(name, k=4)
    shuffled = discriminate(patches[position][:, image])
    expected = discriminate(patches)[position][:, image]
    torch.testing.assert_close(shuffled, expected, rtol=1e-5, atol=0)


@every_discriminator
@pytest.mark.parametrize("budget", [1, 20_000, 2**40])
def test_chunk_size_does_not_matter(
    name: str, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches = random_patches(23, 12, 30)
    expected = make_discriminator(name, k=4)(patches)
    monkeypatch.setattr(scratch, "CHUNK_BYTES", budget)
    scores = make_discriminator(name, k=4)(patches)
    torch.testing.assert_close(scores, expected, rtol=1e-6, atol=0)


@every_discriminator
def test_identical_pictures_are_all_equally_normal(name: str) -> None:
    one_picture = random_patches(5, 1, 40)
    assert torch.equal(make_discriminator(name, k=6)(one_picture.repeat(1, 8, 1)), torch.ones(5, 8))


@every_discriminator
def test_the_odd_picture_scores_highest(name: str) -> None:
    patches = random_patches(3, 20, 6)
    patches[1, 13] += 10
    scores = make_discriminator(name, k=6)(patches)
    assert scores[1].argmax() == 13
    assert scores.argmax() == 1 * 20 + 13


@every_discriminator
def test_patches_are_left_as_they_were(name: str) -> None:
    patches = random_patches(2, 5, 3).double()  # float64 needs no copy, so one must be made
    before = patches.clone()
    make_discriminator(name, k=2)(patches)
    assert torch.equal(patches, before)


@every_discriminator
def test_progress_counts_positions_or_images(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "CHUNK_BYTES", 1)
    heard: list[tuple[str, int, int]] = []
    make_discriminator(name, k=2)(
        random_patches(3, 4, 2), lambda step, done, total: heard.append((step, done, total))
    )
    of = 4 if name == "position-free" else 3
    assert heard == [("discriminate", done, of) for done in range(1, of + 1)]


@every_discriminator
@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 1, 4), "at least 2 are needed, got 1"), ((6, 4), r"\(P, N, D\).*\(6, 4\)")],
)
def test_patches_that_cannot_be_compared_are_an_error(
    name: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_discriminator(name, k=2)(torch.zeros(shape))


def test_unknown_discriminator_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match="'lot' is none of lof, nearest, gaussian"):
        make_discriminator("lot", k=6)


@pytest.mark.parametrize("references", [1, 0, -3])
def test_too_few_references_are_an_error(references: int) -> None:
    with pytest.raises(UsageError, match=f"references must be at least 2, got {references}"):
        make_discriminator("lof", k=6, references=references)
