"""Heat maps: calm where all is normal, the same colours for the same scores, nothing hidden."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from softpatch.predictions.overlays import LAYER_SIDE, layer, mask, overlay
from softpatch.runtime.heatmap import (
    FULL_COLOUR,
    LONGEST_SIDE,
    OPACITY,
    colourise,
    outline,
    png_bytes,
)
from softpatch.runtime.prediction import Prediction

LIMIT = 10.0
Floats = npt.NDArray[np.float32]


def prediction(
    heat: Floats, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Prediction:
    whole = (0.0, 0.0, float(size[1]), float(size[0]))
    return Prediction("a.png", float(heat.max()), heat, size, box or whole)


def grey(height: int, width: int, value: int = 100) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def drawn(picture: npt.NDArray[np.uint8], result: Prediction) -> npt.NDArray[np.int64]:
    return np.asarray(overlay(picture, result, LIMIT)).astype(np.int64)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_picture_within_the_limit_stays_as_it_is(level: float) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    heat = np.full((8, 8), level * LIMIT, np.float32)
    assert np.abs(drawn(picture, prediction(heat, (40, 60))) - picture).max() <= 1


def test_only_what_is_above_the_limit_is_coloured() -> None:
    heat = np.zeros((40, 40), np.float32)
    heat[10:20, 25:35] = 2 * LIMIT
    change = np.abs(drawn(grey(40, 40), prediction(heat, (40, 40))) - 100).max(axis=2)
    assert (change[11:19, 26:34] > 30).all()
    change[10:20, 25:35] = 0
    assert change.max() <= 1


def test_same_score_has_the_same_colour_in_every_picture() -> None:
    """Not stretched to each picture's own range: a calm picture must look calm."""
    mild, wild = np.zeros((20, 20), np.float32), np.zeros((20, 20), np.float32)
    mild[5:10, 5:10] = wild[5:10, 5:10] = 1.5 * LIMIT
    wild[12:18, 12:18] = 50 * LIMIT
    first, second = (drawn(grey(20, 20), prediction(heat, (20, 20))) for heat in (mild, wild))
    np.testing.assert_array_equal(first[5:10, 5:10], second[5:10, 5:10])


def test_colour_grows_with_the_score_and_then_holds() -> None:
    scores = np.linspace(0, 5 * LIMIT, 101, dtype=np.float32)[None]
    colours, opacity = colourise(scores, LIMIT)
    assert colours.shape == (1, 101, 3)
    assert (np.diff(opacity[0]) >= 0).all()
    assert (opacity[scores <= LIMIT] == 0).all()
    assert (opacity[scores > 1.01 * LIMIT] > 0).all()
    assert (opacity[scores >= FULL_COLOUR * LIMIT] == OPACITY).all()
    lightness = colours[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) <= 1e-9).all()  # for eyes that do not see the hue
    assert lightness[0] - lightness[-1] > 100


@pytest.mark.parametrize("limit", [0.0, 1e-30])
def test_limit_of_zero_is_no_division_by_zero(limit: float) -> None:
    colours, opacity = colourise(np.array([[0, 1e-6, 1]], np.float32), limit)
    assert np.isfinite(colours).all()
    assert opacity[0, 0] == 0
    assert opacity[0, 2] == OPACITY


def test_what_the_network_does_not_see_is_dimmed_and_never_coloured() -> None:
    heat = np.full((8, 8), 9 * LIMIT, np.float32)
    result = drawn(grey(40, 80), prediction(heat, (40, 80), (10.0, 5.0, 70.0, 35.0)))
    inside = np.zeros((40, 80), dtype=bool)
    inside[5:35, 10:70] = True
    assert np.abs(result[~inside] - 50).max() <= 1
    assert (np.abs(result[inside] - 100).max(axis=1) > 30).all()


def test_map_lies_where_the_box_says() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[0, 3] = 9 * LIMIT  # the box's upper right
    result = drawn(grey(80, 160), prediction(heat, (80, 160), (40.0, 20.0, 120.0, 60.0)))
    hot = np.abs(result - 100).max(axis=2)[20:60, 40:120]
    assert hot[:8, 64:].min() > 30
    assert max(hot[20:].max(), hot[:, :40].max()) <= 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((40, 60), (40, 60)),
        ((LONGEST_SIDE, 10), (LONGEST_SIDE, 10)),
        ((1500, 3000), (LONGEST_SIDE // 2, LONGEST_SIDE)),
        ((2048, 1), (LONGEST_SIDE, 1)),
        ((1, 1), (1, 1)),
    ],
)
def test_size_is_the_pictures_up_to_a_limit(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    heat = np.full((8, 8), 2 * LIMIT, np.float32)
    image = overlay(grey(*size), prediction(heat, size), LIMIT)
    assert (image.height, image.width) == expected
    assert image.mode == "RGB"


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 3), (2048, 1), (5000, 4)])
def test_tiny_and_thin_pictures_with_a_crop_are_drawn(size: tuple[int, int]) -> None:
    height, width = size
    box = (width / 16, height / 16, width * 15 / 16, height * 15 / 16)
    heat = np.full((8, 8), 2 * LIMIT, np.float32)
    image = overlay(grey(*size), prediction(heat, size, box), LIMIT)
    assert image.width >= 1


def test_layer_over_the_picture_is_the_overlay() -> None:
    heat = np.random.default_rng(0).uniform(0, 4 * LIMIT, (20, 30)).astype(np.float32)
    result = prediction(heat, (40, 60), (6.0, 4.0, 54.0, 36.0))
    above = np.asarray(layer(result, LIMIT)).astype(np.float64)
    assert above.shape == (40, 60, 4)
    opacity = OPACITY * above[4:36, 6:54, 3:] / 255
    both = 100 + (above[4:36, 6:54, :3] - 100) * opacity
    np.testing.assert_allclose(both, drawn(grey(40, 60), result)[4:36, 6:54], atol=2)
    above[4:36, 6:54] = 0
    assert not above.any()  # what the network does not see stays clear
    assert layer(prediction(heat, (4_000, 2_000)), LIMIT).size == (LAYER_SIDE // 2, LAYER_SIDE)


def spot(threshold: float | None, peak: float = 8.0) -> Prediction:
    """A square of 20 x 20 pixels in the middle of a picture twice the map's size, with a margin."""
    heat = np.zeros((40, 40), np.float32)
    heat[10:20, 15:25] = peak
    return Prediction("a.png", peak, heat, (100, 100), (10.0, 10.0, 90.0, 90.0), threshold)


def test_what_is_defective_has_an_outline_and_a_mask() -> None:
    bad = spot(5.0)
    assert bad.pixel_threshold == 5.0
    assert spot(7.9).pixel_threshold == pytest.approx(0.9 * 8)  # that there is something to see
    assert np.array_equal(bad.defect_mask, bad.anomaly_map > 0)
    white = np.asarray(mask(bad))
    assert white.shape == (100, 100)
    expected = np.zeros((100, 100), bool)
    expected[30:50, 40:60] = True
    assert (white > 0).sum() == pytest.approx(400, rel=0.1)
    assert ((white > 0) & expected).sum() > 350
    dark = (drawn(grey(100, 100), bad) == (60, 0, 60)).all(axis=2)
    assert np.array_equal(dark, outline(white > 0))
    assert 60 < dark.sum() < 90  # the square's four sides


@pytest.mark.parametrize("threshold", [None, 8.0, 9.0])
def test_good_pictures_have_neither(threshold: float | None) -> None:
    good = spot(threshold)
    assert good.pixel_threshold is None
    assert not good.defect_mask.any()
    assert not np.asarray(mask(good)).any()
    assert not (drawn(grey(100, 100), good) == (60, 0, 60)).all(axis=2).any()


def test_an_outline_is_inside_and_one_pixel_wide() -> None:
    area = np.zeros((9, 9), bool)
    area[2:7, 3:8] = True
    expected = area.copy()
    expected[3:6, 4:7] = False
    assert np.array_equal(outline(area), expected)
    assert np.array_equal(
        outline(np.ones((3, 3), bool)), np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]) > 0
    )


def test_png_holds_the_image() -> None:
    image = Image.fromarray(grey(5, 7, 33))
    with Image.open(io.BytesIO(png_bytes(image))) as back:
        assert back.format == "PNG"
        np.testing.assert_array_equal(np.asarray(back), np.asarray(image))
