"""The resize in the graph gives torch's own grey levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from softpatch.export.onnx_ops import resize, resize_matrix


@settings(deadline=None, max_examples=40)
@example(height=900, width=900, resized=256, crop=224, grey=False)
@example(height=256, width=1000, resized=256, crop=224, grey=True)
@example(height=1, width=5, resized=64, crop=64, grey=False)
@example(height=295, width=260, resized=60, crop=10, grey=False)
@example(height=246, width=99, resized=48, crop=48, grey=False)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    resized=st.integers(8, 96),
    crop=st.integers(1, 96),
    grey=st.booleans(),
)
def test_grey_levels_are_torch_s(
    height: int, width: int, resized: int, crop: int, grey: bool
) -> None:
    crop = min(crop, resized)
    levels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3))
    picture = torch.from_numpy(levels.astype(np.uint8)).permute(2, 0, 1)
    if grey:
        picture = picture[:1].contiguous().expand(3, -1, -1)
    size = (resized, resized)
    whole = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)
    first = (resized - crop) // 2
    kept = slice(first, first + crop)
    side = (resized, first, crop)
    assert torch.equal(resize(picture[None].float(), side, side), whole[..., kept, kept].float())


@pytest.mark.parametrize("side", [1, 7, 64, 65, 1000])
def test_every_pixel_is_a_mean(side: int) -> None:
    matrix = resize_matrix(side, 64, 0, 64)
    assert bool((matrix >= 0).all())
    # Rounded weights do not quite add up: by half of 2^-14 a pixel they come from, at most.
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(64), rtol=0, atol=side * 2**-15)


def test_unchanged_size_changes_nothing() -> None:
    assert torch.equal(resize_matrix(64, 64, 0, 64), torch.eye(64))
