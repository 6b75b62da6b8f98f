"""Colours say what the verdict says, in every drawing: overlay, layer, page and runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from softpatch.predictions.overlays import layer, overlay
from softpatch.runtime.heatmap import CLEAR, OPACITY, as_layer, colourise, colours
from softpatch.runtime.heatmap import overlay as overlay_without_torch
from softpatch.runtime.prediction import Prediction

NORMAL, LOOK, THRESHOLD = 4.0, 8.0, 10.0
GREY = np.full((40, 40, 3), 100, np.uint8)
Drawing = Callable[[Prediction], npt.NDArray[np.float64]]


def spot(
    score: float, peak: float, threshold: float | None = THRESHOLD, look: float | None = LOOK
) -> Prediction:
    """A spot of that peak, which is not the image's score: maps are blurred."""
    heat = np.zeros((40, 40), np.float32)
    heat[10:20, 10:20] = peak
    size, box = (40, 40), (0.0, 0.0, 40.0, 40.0)
    return Prediction("a.png", score, heat, size, box, threshold, look=look)


def change(drawn: object) -> npt.NDArray[np.float64]:
    changed: npt.NDArray[np.float64] = np.abs(np.asarray(drawn).astype(float) - 100).max(axis=2)
    return changed


DRAWINGS: dict[str, Drawing] = {
    "overlay": lambda one: change(overlay(GREY, one, NORMAL)),
    "overlay of the runtime": lambda one: change(overlay_without_torch(GREY, one, NORMAL)),
    "layer": lambda one: np.asarray(layer(one, NORMAL))[..., 3].astype(float),
    "layer of a page": lambda one: as_layer(*colours(one.anomaly_map, one, NORMAL))[..., 3].astype(
        float
    ),
}
drawings = pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)


@drawings
@pytest.mark.parametrize("peak", [1.0, 6.0, 500.0])
@pytest.mark.parametrize(
    ("score", "threshold", "look"),
    [(LOOK, THRESHOLD, LOOK), (5.0, THRESHOLD, LOOK), (THRESHOLD, THRESHOLD, None),
     (9.9, THRESHOLD, 12.0)],
)  # fmt: skip
def test_a_good_picture_has_no_colour_whatever_its_map(
    draw: Drawing, peak: float, score: float, threshold: float, look: float | None
) -> None:
    good = spot(score, peak, threshold, look)
    assert good.verdict == "good"
    assert not draw(good).any()


@drawings
@pytest.mark.parametrize("peak", [1.0, 6.0, 500.0])
def test_one_to_look_at_has_fainter_colour_than_a_bad_one(draw: Drawing, peak: float) -> None:
    look, bad = spot(9.0, peak), spot(THRESHOLD * 1.01, peak)
    assert (look.verdict, bad.verdict) == ("look", "bad")
    faint, clear = (draw(one)[12:18, 12:18] for one in (look, bad))
    assert faint.min() > 0
    assert faint.max() < clear.min()


@drawings
def test_without_a_look_limit_colour_begins_at_the_threshold_and_is_clear(draw: Drawing) -> None:
    assert not draw(spot(9.9, 9.0, look=None)).any()
    alone, both = spot(10.1, 9.0, look=None), spot(10.1, 9.0)
    assert np.array_equal(draw(alone), draw(both))


@drawings
def test_without_any_limit_the_map_is_drawn_as_it_is(draw: Drawing) -> None:
    low, high = spot(100.0, NORMAL, None, None), spot(1.0, 2 * NORMAL, None, None)
    assert not draw(low).any()
    assert draw(high)[12:18, 12:18].min() > 30


def test_the_same_score_has_the_same_colour_whatever_the_peak() -> None:
    [one], [other] = (
        {tuple(pixel) for pixel in np.dstack(
            [part.reshape(40, 40, -1) for part in colours(each.anomaly_map, each, NORMAL)]
        )[12:18, 12:18].reshape(-1, 4).round(9)}
        for each in (spot(12.0, 3.0), spot(12.0, 50.0))
    )  # fmt: skip
    assert one == other


def test_opacity_grows_from_the_look_limit_by_way_of_the_threshold() -> None:
    scores = np.linspace(0, 30, 301)[None]
    _, opacity = colourise(scores, LOOK, THRESHOLD)
    assert (np.diff(opacity[0]) >= 0).all()
    assert (opacity[scores <= LOOK] == 0).all()
    assert (opacity[scores > LOOK] > 0).all()
    assert (opacity[scores >= 2 * THRESHOLD] == OPACITY).all()
    at = opacity[0, np.searchsorted(scores[0], THRESHOLD)]
    assert at == pytest.approx(OPACITY * CLEAR**0.5)


@pytest.mark.parametrize("limits", [(0.0, 0.0), (0.0, 1e-30), (5.0, 5.0), (1e-300, None)])
def test_limits_of_zero_or_the_same_are_no_division_by_zero(
    limits: tuple[float, float | None],
) -> None:
    colour, opacity = colourise(np.array([[0.0, 1e-6, 50.0]]), *limits)
    assert np.isfinite(colour).all()
    assert opacity[0, 0] == 0
    assert opacity[0, 2] == OPACITY


def test_an_empty_map_has_no_colour() -> None:
    assert not change(overlay(GREY, spot(0.0, 0.0), NORMAL)).any()
    assert not change(overlay(GREY, spot(20.0, 0.0), NORMAL)).any()
