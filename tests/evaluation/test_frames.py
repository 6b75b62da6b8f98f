"""Anomaly map and mask in the network's frame and in the picture's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch.evaluation.frames import Heat, at_native, mask_at_input
from softpatch.evaluation.metrics import Bools
from softpatch.images.preprocessing import Preprocessing
from softpatch.runtime.prediction import Prediction
from tests.reference import metrics as reference

HALF = (0.5, 0.5, 0.5)


def predicted(heat: Heat, size: tuple[int, int], framing: Preprocessing) -> Prediction:
    return Prediction("picture", 1.0, heat, size, framing.layout(*size).box)


def random_heat(size: tuple[int, int], seed: int) -> Heat:
    return np.random.default_rng(seed).random(size, dtype=np.float32)


def random_mask(size: tuple[int, int], seed: int) -> Bools:
    return np.random.default_rng(seed).random(size) < 0.3


def test_mask_follows_the_pictures_resize_and_crop() -> None:
    mask = np.zeros((100, 200), dtype=bool)
    mask[40:60, 100:140] = True
    framed = mask_at_input(mask, Preprocessing((50, 50), (30, 20), HALF, HALF))
    expected = np.zeros((50, 50), dtype=bool)
    expected[20:30, 25:35] = True  # half as high, a quarter as wide
    np.testing.assert_array_equal(framed, expected[10:40, 15:35])


def test_a_mask_of_the_inputs_size_stays_as_it_is() -> None:
    mask = random_mask((64, 64), 0)
    np.testing.assert_array_equal(
        mask_at_input(mask, Preprocessing((64, 64), (64, 64), HALF, HALF)), mask
    )


@pytest.mark.parametrize("size", [(90, 90), (31, 77), (20, 15), (1, 1), (2, 200)])
def test_without_a_crop_the_map_is_stretched_as_torch_does(size: tuple[int, int]) -> None:
    heat = random_heat((24, 32), 0)
    mask = random_mask(size, 1)
    whole = Preprocessing((24, 32), (24, 32), HALF, HALF)
    native_mask, native = at_native(mask, predicted(heat, size, whole))
    np.testing.assert_array_equal(native_mask, mask)
    expected = F.interpolate(torch.from_numpy(heat)[None, None], size=size, mode="bilinear")
    np.testing.assert_allclose(native, expected[0, 0].numpy(), atol=1e-5)


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), margin=st.integers(0, 3),
    seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=60, deadline=None, derandomize=True)
def test_native_map_and_mask_equal_those_made_pixel_by_pixel(
    height: int, width: int, margin: int, seed: int
) -> None:
    """Boxes whose edges cut pixels, and pictures smaller than the map."""
    heat, mask = random_heat((8, 6), seed), random_mask((height, width), seed)
    framing = Preprocessing((8 + 2 * margin, 6 + 2 * margin), (8, 6), HALF, HALF)
    prediction = predicted(heat, (height, width), framing)
    found_mask, found = at_native(mask, prediction)
    pixels = reference.native_pixels(heat, (height, width), prediction.box)
    assert found.dtype == np.float32
    assert found.size == found_mask.size == len(pixels)
    if pixels:
        np.testing.assert_allclose(found.ravel(), list(pixels.values()), atol=1e-5)
        np.testing.assert_array_equal(found_mask.ravel(), [mask[place] for place in pixels])


def test_cropped_border_is_not_counted() -> None:
    """256 -> 224 sees 787 or 788 of 900 pixels; a defect in the border is out of sight."""
    framing = Preprocessing((256, 256), (224, 224), HALF, HALF)
    mask = np.zeros((900, 900), dtype=bool)
    mask[:56] = True  # the box starts at 56.25
    seen, heat = at_native(mask, predicted(random_heat((224, 224), 0), (900, 900), framing))
    assert seen.shape == heat.shape == (788, 788)
    assert not seen.any()
