"""Tiles cover a picture, overlap, and make one map without seams."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch.images.preprocessing import Preprocessing
from softpatch.predictions.anomaly_map import anomaly_map, tiled_anomaly_map
from softpatch.runtime.tiling import OVERLAP, TileLayout, divide

sides = st.integers(1, 9_000)
tiles = st.integers(32, 1_024)


@given(side=sides, tile=tiles, crop=st.sampled_from([(256, 224), (64, 64), (50, 13)]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_tiles_cover_the_side_and_overlap(side: int, tile: int, crop: tuple[int, int]) -> None:
    axis = divide(side, tile, *crop)
    assert axis.starts[0] == 0
    assert axis.starts[-1] + axis.cut == side
    assert axis.cut == min(side, tile)
    seen = axis.crop / axis.scale  # pixels of the picture
    for one, following in zip(axis.starts, axis.starts[1:], strict=False):
        assert 0 < following - one <= max(1.5, (1 - OVERLAP) * seen + 0.5)  # starts are whole
    begin, end = axis.span
    assert 0 <= begin < end <= side * (1 + 1e-9)
    assert axis.seen == pytest.approx((end - begin) * axis.scale, abs=0.5 + 1e-6)


@pytest.mark.parametrize("size", [(1, 1), (512, 100), (512, 512)])
def test_what_fits_one_tile_is_seen_as_without_tiles(size: tuple[int, int]) -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)
    plain = Preprocessing((256, 256), (224, 224), mean, std)
    tiled = Preprocessing((256, 256), (224, 224), mean, std, (512, 512))
    picture = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain(picture), tiled(picture))
    assert plain.layout(*size).box == tiled.layout(*size).box
    scores = torch.rand(1, 28, 28)
    heat = tiled_anomaly_map(scores, tiled.layout(*size))
    torch.testing.assert_close(heat, anomaly_map(scores, (224, 224))[0])


def layout_of(height: int, width: int, tile: int = 64) -> TileLayout:
    return Preprocessing((64, 64), (48, 56), (0,) * 3, (1,) * 3, (tile, tile)).layout(height, width)


@pytest.mark.parametrize("size", [(64, 300), (201, 77), (500, 500)])
@pytest.mark.parametrize("sigma", [0.0, 4.0])
def test_equal_scores_make_an_even_map(size: tuple[int, int], sigma: float) -> None:
    layout = layout_of(*size)
    heat = tiled_anomaly_map(torch.ones(len(layout.tiles), 6, 7), layout, sigma)
    assert heat.shape == (layout.rows.seen, layout.columns.seen)
    torch.testing.assert_close(heat, torch.ones_like(heat))


@pytest.mark.parametrize("size", [(64, 300), (201, 77), (333, 500)])
def test_a_ramp_over_the_picture_stays_a_ramp_over_the_map(size: tuple[int, int]) -> None:
    """Scores that grow with the patch's place in the picture: no seam, no shift."""
    layout = layout_of(*size)
    scores = torch.empty(len(layout.tiles), 6, 7, dtype=torch.float64)
    for number in range(len(scores)):
        left, top, right, bottom = layout.tile_box(number)
        rows = top + (torch.arange(6) + 0.5) / 6 * (bottom - top)
        columns = left + (torch.arange(7) + 0.5) / 7 * (right - left)
        scores[number] = rows.unsqueeze(1) + 10 * columns
    heat = tiled_anomaly_map(scores, layout, sigma=0)
    left, top, right, bottom = layout.box
    h, w = heat.shape
    rows = top + (torch.arange(h, dtype=torch.float64) + 0.5) / h * (bottom - top)
    columns = left + (torch.arange(w, dtype=torch.float64) + 0.5) / w * (right - left)
    expected = rows.unsqueeze(1) + 10 * columns
    # Half a patch at the border has no patch beyond it to interpolate with.
    inner = slice(8, -8)
    np.testing.assert_allclose(
        heat[inner, inner], expected[inner, inner], atol=0.6 * (1 + 10), rtol=0
    )
    blend = heat[inner, inner].diff(dim=1)
    assert float(blend.min()) > 0  # it rises everywhere, over the seams too


def test_map_of_a_tile_alone_lies_where_the_tile_does() -> None:
    layout = layout_of(200, 200)
    scores = torch.zeros(len(layout.tiles), 6, 7)
    scores[-1] = 1
    heat = tiled_anomaly_map(scores, layout, sigma=0)
    assert float(heat[-20:, -20:].min()) == 1
    assert float(heat[:80, :80].max()) == 0


@given(height=sides, width=sides)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_tiles_are_within_the_box_row_by_row(height: int, width: int) -> None:
    layout = layout_of(height, width, tile=512)
    boxes = [layout.tile_box(number) for number in range(len(layout.tiles))]
    left, top, right, bottom = layout.box
    assert (min(b[0] for b in boxes), min(b[1] for b in boxes)) == (left, top)
    assert (max(b[2] for b in boxes), max(b[3] for b in boxes)) == pytest.approx((right, bottom))
    for (rows, columns), box in zip(layout.tiles, boxes, strict=True):
        assert rows.start <= box[1] < box[3] <= rows.stop + 1e-9
        assert columns.start <= box[0] < box[2] <= columns.stop + 1e-9


def test_the_frame_shows_what_the_tiles_show() -> None:
    preprocessing = Preprocessing((64, 64), (48, 56), (0,) * 3, (1,) * 3, (128, 128))
    picture = torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(0))
    picture = torch.nn.functional.interpolate(picture[None], (300, 420), mode="bicubic")[0]
    picture = picture.clamp(0, 1).expand(3, -1, -1)
    layout = preprocessing.layout(300, 420)
    frame = preprocessing.frame(picture)
    assert frame.shape[1:] == (layout.rows.seen, layout.columns.seen)
    seen = preprocessing(picture)
    for number, (rows, columns) in enumerate(layout.tiles):
        top, left = round(rows.start * 0.5), round(columns.start * 0.5)
        part = frame[:, top : top + 48, left : left + 56]
        assert float((part - seen[number]).abs().max()) < 0.03  # tiles start at whole pixels
