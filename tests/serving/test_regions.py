"""Regions cover the pixels above their level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from softpatch import Prediction
from softpatch.runtime.prediction import MOST_OF_PEAK
from softpatch.serving.regions import anomalous_regions

SIDE = 96


def prediction(
    heat: np.ndarray, threshold: float | None = 1.0, scale: int = 3, at: int = 5
) -> Prediction:
    """A picture ``scale`` times the map's size, with ``at`` more pixels on each side."""
    height, width = heat.shape
    return Prediction(
        "part",
        float(heat.max()),
        heat.astype(np.float32),
        (scale * height + 2 * at, scale * width + 2 * at),
        (at, at, at + scale * width, at + scale * height),
        threshold,
    )


def spots(*spots: tuple[float, float, float, float]) -> np.ndarray:
    """Gaussians of (x, y, sigma, height)."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    heat = np.zeros((SIDE, SIDE))
    for at, down, sigma, top in spots:
        heat += top * np.exp(-((x - at) ** 2 + (y - down) ** 2) / (2 * sigma**2))
    return heat


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.floats(0, SIDE), st.floats(0, SIDE), st.floats(5, 20), st.floats(1.5, 6)
        ),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_polygons_cover_the_pixels_above_the_level(
    where: list[tuple[float, float, float, float]],
) -> None:
    heat = spots(*where)
    made = prediction(heat)
    level = min(1.0, MOST_OF_PEAK * heat.max())
    above = np.kron(heat > level, np.ones((3, 3), dtype=bool))
    drawn = Image.new("1", made.size[::-1])
    regions = anomalous_regions(made, 0.5)
    for region in regions:
        assert len(region.points) >= 3
        ImageDraw.Draw(drawn).polygon([(x, y) for x, y in region.points.tolist()], fill=1)
    covered = np.asarray(drawn)[5:-5, 5:-5]
    # Off by the pixels along the outlines, of the contour and of the half pixel it may stray.
    along = sum(float(np.hypot(*np.diff(each.points, axis=0).T).sum()) for each in regions)
    assert (covered ^ above).sum() <= 2.5 * along
    share = sum(region.share for region in regions)
    assert share == pytest.approx(above.sum() / (made.size[0] * made.size[1]), rel=0.1, abs=3e-3)


def test_largest_first_and_holes_do_not_count() -> None:
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    far = np.hypot(x - 30, y - 40)
    ring = 3 * np.exp(-((far - 20) ** 2) / 18)
    large, small = anomalous_regions(prediction(ring + spots((80, 80, 5, 3))), 0.5)
    above = ring > 1.0
    assert large.share == pytest.approx(9 * above.sum() / 298**2, rel=0.03)
    assert small.share < large.share
    centre = np.array([5 + 3 * 80, 5 + 3 * 80])
    np.testing.assert_allclose(small.points.mean(axis=0), centre, atol=3)


def test_good_pictures_have_none_and_the_normal_limit_stands_in() -> None:
    heat = spots((40, 40, 8, 0.9))
    assert anomalous_regions(prediction(heat), 0.5) == []
    [without] = anomalous_regions(prediction(heat, threshold=None), 0.5)
    above = (heat > 0.5).sum() * 9 / 298**2
    assert without.share == pytest.approx(above, rel=0.05)
    assert anomalous_regions(prediction(heat, threshold=None), 1.0) == []
    assert anomalous_regions(prediction(np.zeros((8, 8)), threshold=None), 0.0) == []


def test_weak_ones_have_a_region_although_the_map_is_below_the_threshold() -> None:
    weak = prediction(spots((40, 40, 8, 0.95)))
    weak = Prediction(weak.name, 1.05, weak.anomaly_map, weak.size, weak.box, 1.0)
    [region] = anomalous_regions(weak, 0.5)
    # A Gaussian of that height exceeds the level within a circle of this area.
    area = np.pi * 2 * np.log(1 / MOST_OF_PEAK) * 64
    assert region.share == pytest.approx(area * 9 / 298**2, rel=0.1)


def test_the_picture_s_border_closes_a_region() -> None:
    [region] = anomalous_regions(prediction(np.full((8, 8), 2.0), at=0, scale=1), 0.5)
    assert region.share == 1
    assert sorted(region.points.tolist()) == [[0, 0], [0, 8], [8, 0], [8, 8]]


def test_a_threshold_of_zero_is_a_threshold() -> None:
    heat = np.zeros((SIDE, SIDE))
    heat[20:40, 20:60] = 0.4  # below the normal limit
    [region] = anomalous_regions(prediction(heat, threshold=0.0), 0.5)
    assert region.share == pytest.approx(21 * 41 * 9 / 298**2, rel=0.01)  # to pixel centres
