"""The box around the peak of a map."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from softpatch.pages.localize import peak_box


def test_box_is_around_the_connected_part_in_pixels() -> None:
    heat = np.zeros((4, 8), dtype=np.float32)
    heat[1, 2], heat[2, 3], heat[0, 7] = 9, 5, 8  # the last is not connected
    assert peak_box(heat, (0, 0, 80, 40), (40, 80)) == (20, 10, 40, 30)
    assert peak_box(heat, (8, 4, 88, 44), (48, 96)) == (28, 14, 48, 34)


@given(arrays(np.float32, (5, 7), elements=st.floats(0, 1, width=32)))
def test_box_is_scipys_component_of_the_peak(heat: np.ndarray) -> None:
    level = (2 * np.median(heat) + heat.max()) / 3
    labels, _ = ndimage.label(heat >= level, structure=np.ones((3, 3)))
    rows, columns = np.nonzero(labels == labels.flat[heat.argmax()])
    expected = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert peak_box(heat, (0, 0, 7, 5), (5, 7)) == expected


def test_box_stays_inside_the_picture() -> None:
    heat = np.ones((3, 3), dtype=np.float32)
    left, top, right, bottom = peak_box(heat, (-0.4, -0.4, 10.4, 10.4), (10, 10))
    assert (left, top, right, bottom) == (0, 0, 10, 10)
