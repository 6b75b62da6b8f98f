"""Which values are black and white: found by the bits that pictures have, and applied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from softpatch.ranges.table import check
from softpatch.runtime.errors import UsageError
from softpatch.runtime.intensity import FULL, Intensity


@pytest.mark.parametrize(
    ("bits", "high"),
    [
        (0b1111_1111, 255),
        (0b0111_1111, 255),  # a darker set of a camera of 8 bits
        (0b1, 255),
        (0b11_1111_1111, 1023),
        (0b1_1111_1111, 1023),
        (0b1111_1111_1111, 4095),
        (0b111_1111_1111, 4095),
        (0b11_1111_1111_1111, 16383),
        (0xFFFF, 65535),
        (0x7FFF, 65535),
        (0xFFC0, 65472),  # 10 bits, shifted
        (0xFFF0, 65520),  # 12
        (0xFFFC, 65532),  # 14
        (0xFF00, 65280),  # 8
        (0x8000, 65280),  # no camera has less
        (0xFFE0, 65520),  # 12, of which one was never set
        (0, 65535),
    ],
)
def test_range_of_a_camera_by_the_bits_it_sets(bits: int, high: int) -> None:
    assert Intensity.of_bits(bits) == (0, high)


def test_ranges_are_said_as_the_option_takes_them() -> None:
    assert str(Intensity(64, 4095)) == "64:4095"
    assert check("intensity", [0, np.int64(4095)]) == Intensity(0, 4095)


@pytest.mark.parametrize(
    "given", [(0, 0), (9, 3), (-1, 5), (0, 65536), (0.5, 3), (1,), "0:9", (None, 1)]
)
def test_what_is_no_range_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match=r"intensity must be LOW:HIGH within 0:65535"):
        check("intensity", given)


@pytest.mark.parametrize("shift", [0, 8])
def test_eight_bits_in_sixteen_are_the_same_eight_bits(shift: int) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    stored = levels.astype(np.uint16) << np.uint16(shift)
    values, remark = Intensity.of_bits(255 << shift).apply(stored)
    assert values.dtype == np.uint8
    assert remark is None
    np.testing.assert_array_equal(values, levels)
    np.testing.assert_array_equal(FULL.apply(levels.astype(np.uint16) * 257)[0], levels)


def test_more_bits_are_kept() -> None:
    stored = np.arange(4096, dtype=np.uint16).reshape(64, 64, 1)
    values, remark = Intensity(0, 4095).apply(stored)
    assert values.dtype == np.float32
    assert remark is None
    np.testing.assert_allclose(values, stored / 4095, rtol=1e-6)
    assert (values.min(), values.max()) == (0, 1)


def test_values_outside_are_black_or_white_and_told() -> None:
    stored = np.array([[[10], [64], [100], [300]]], np.uint16)
    values, remark = Intensity(64, 264).apply(stored)
    np.testing.assert_allclose(values[0, :, 0], [0, 0, 0.18, 1])
    assert remark == "has values from 10 to 300, and the model's range is 64:264"
