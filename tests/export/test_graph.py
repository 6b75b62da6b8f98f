"""The graph, run by torch, says what the detector says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from softpatch import Detector, PaDiM, PatchCore, RandomBank, SoftPatch, UsageError
from softpatch.export.graph import DetectorGraph
from tests.detectors.pictures import new_pictures

SMALL: dict[str, Any] = {"resize": 64, "crop": 48}
ROI = np.zeros((50, 70), np.uint8)
ROI[10:30, 5:60] = 255
DETECTORS = [
    SoftPatch(dimension=64, **SMALL),
    SoftPatch(dimension=64, distance="euclidean", roi=ROI, **SMALL),
    SoftPatch(embedding="average", discriminator="lof", resize=(96, 64), crop=(80, 64)),
    SoftPatch(embedding="rooted", dimension=64, **SMALL),
    PatchCore(dimension=64, **SMALL),
    PatchCore(dimension=64, reweight=True, **SMALL),
    RandomBank(dimension=64, reweight=True, **SMALL),
    PatchCore(dimension=64, reweight=True, bank_size=1, **SMALL),
    PaDiM(**SMALL),
    PaDiM(roi=ROI, **SMALL),
]


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize("size", [(48, 64), (77, 31)])
@pytest.mark.parametrize("number", range(len(DETECTORS)))
def test_scores_and_maps_are_the_detector_s(
    number: int, size: tuple[int, int], small_pictures: Path
) -> None:
    detector = DETECTORS[number]
    if detector._learned is None:
        detector.fit(small_pictures)
    height, width = size
    rows, columns = np.arange(height) % 48, np.arange(width) % 64
    batch = np.stack([picture[rows][:, columns] for picture in new_pictures(3)])
    expected = list(detector.predict(list(batch)))
    with torch.inference_mode():
        score, heat = DetectorGraph(detector, None).eval()(torch.from_numpy(batch))
    np.testing.assert_allclose(score, [one.score for one in expected], rtol=1e-5)
    for ours, one in zip(heat.numpy(), expected, strict=True):
        np.testing.assert_allclose(ours, one.anomaly_map, rtol=0, atol=1e-5 * one.anomaly_map.max())


@pytest.mark.usefixtures("one_backbone")
def test_labels_are_1_above_the_threshold_and_halves_round_a_copy(
    small_detector: SoftPatch,
) -> None:
    batch = torch.from_numpy(np.stack(new_pictures(5)))
    before = small_detector.bank_.vectors.clone()
    with torch.inference_mode():
        score, _ = DetectorGraph(small_detector, None).eval()(batch)
        threshold = float(score.median())
        graph = DetectorGraph(small_detector, threshold).eval()
        again, label, _ = graph(batch)
        rounded, _, _ = DetectorGraph(small_detector, threshold, "fp16").eval()(batch)
    assert graph.outputs == ["score", "label", "map"]
    assert torch.equal(again, score)
    assert label.tolist() == (score > threshold).long().tolist()
    assert 0 < label.sum() < 5
    assert not torch.equal(rounded, score)
    torch.testing.assert_close(rounded, score, rtol=0.05, atol=0)
    assert torch.equal(small_detector.bank_.vectors, before)


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize("options", [{"tile": 64, "roi": ROI}, {"precision": "bf16"}])
def test_what_cannot_be_exported_says_so(options: dict[str, Any], small_pictures: Path) -> None:
    detector: Detector = PatchCore(dimension=64, coreset_ratio=0.5, **SMALL, **options)
    with pytest.raises(UsageError, match="cannot be exported; fit with"):
        DetectorGraph(detector, None)
