"""The graph of a model with tiles, and how softpatch and the runtime combine its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch import PatchCore, Prediction, SoftPatch
from softpatch.export.graph import DetectorGraph
from softpatch.export.tiles import in_tiles, some_tiles
from softpatch.images.preprocessing import Preprocessing
from softpatch.predictions.anomaly_map import blurred_upsampling
from softpatch.runtime import tile_scores
from softpatch.runtime.tile_scores import TOGETHER, score_tiles
from softpatch.runtime.tiling import TileLayout, divide
from tests.detectors.pictures import new_pictures

TILED: dict[str, Any] = {"resize": 64, "crop": 48, "dimension": 64, "tile": 48}
DETECTORS = [SoftPatch(**TILED), PatchCore(**TILED, reweight=True)]
SIZES = [(48, 64), (130, 61), (30, 40), (100, 100)]


def run_by_torch(graph: DetectorGraph, batches: list[int]) -> Any:
    def run(images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
        batches.append(len(images))
        with torch.inference_mode():
            outputs = graph(torch.from_numpy(images))
        return {name: part.numpy() for name, part in zip(graph.outputs, outputs, strict=True)}

    return run


def check(score: float, heat: npt.NDArray[np.float32], expected: Prediction) -> None:
    assert score == pytest.approx(expected.score, rel=1e-5)
    highest = expected.anomaly_map.max()
    np.testing.assert_allclose(heat, expected.anomaly_map, rtol=0, atol=1e-5 * highest)


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize("number", range(len(DETECTORS)))
def test_scores_and_maps_are_the_detector_s(number: int, small_pictures: Path) -> None:
    detector = DETECTORS[number]
    detector.fit(small_pictures)
    batches: list[int] = []
    run = run_by_torch(DetectorGraph(detector, 1.0).eval(), batches)
    for size in SIZES:
        rows, columns = np.arange(size[0]) % 48, np.arange(size[1]) % 64
        picture = new_pictures(1)[0][rows][:, columns]
        expected = detector.predict(picture)
        outputs = in_tiles(run, detector.preprocessing, 1.0)(picture[None])
        check(float(outputs["score"][0]), outputs["map"][0], expected)
        assert outputs["label"].tolist() == [expected.score > 1]
        sides = (vars(detector.preprocessing)[key] for key in ("tile", "resize", "crop"))
        layout = TileLayout.of(size, *sides)
        score, heat = score_tiles(run, picture, layout)
        check(score, heat, expected)
        assert layout.box == pytest.approx(expected.box)
    assert max(batches) == TOGETHER
    assert min(batches) == 1


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    side=st.integers(1, 700),
    tile=st.integers(32, 200),
    resize=st.integers(8, 80),
    crop=st.integers(4, 80),
    length=st.integers(1, 9),
)
def test_tiles_are_blended_as_in_softpatch(
    side: int, tile: int, resize: int, crop: int, length: int
) -> None:
    axis = divide(side, tile, resize, min(crop, resize))
    ours, theirs = tile_scores.blurred_upsampling(axis, length), blurred_upsampling(axis, length)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("side", "tiles"), [(40, 1), (100, 4), (1000, 4)])
def test_few_tiles_of_a_picture_calibrate(side: int, tiles: int) -> None:
    preprocessing = Preprocessing((64, 64), (64, 64), (0,) * 3, (1,) * 3, (64, 64))
    found = some_tiles(np.zeros((side, side, 3), np.uint8), preprocessing)
    assert len(found) == tiles <= TOGETHER
    assert {one.shape for one in found} == {(min(side, 64), min(side, 64), 3)}
