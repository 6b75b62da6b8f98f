"""What the detectors' tests share: small made-up patches and pictures, and a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from softpatch import Detector, Prediction

SMALL: dict[str, Any] = {"resize": 64, "crop": 64}


def random_patches(images: int = 12, h: int = 4, w: int = 5, d: int = 16, seed: int = 0) -> Tensor:
    """``(N, h, w, D)``: every position its own place, and an odd picture in the middle."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(h, w, d, generator=generator) + 0.3 * torch.randn(
        images, h, w, d, generator=generator
    )
    patches[images // 2] += torch.randn(h, w, d, generator=generator)
    return patches


def new_pictures(count: int = 5) -> list[npt.NDArray[np.uint8]]:
    """Pictures like the fixture ``pictures``, the last with a dark spot."""
    made = []
    for index in range(count):
        noise = np.random.default_rng(100 + index).integers(0, 20, size=(48, 64, 3))
        made.append((np.linspace(40, 200, 64)[None, :, None] + noise).astype(np.uint8))
    made[-1][10:30, 20:40] = 10
    return made


def predictions(detector: Detector, pictures: Sequence[Any]) -> list[Prediction]:
    return list(detector.predict(pictures))


def assert_predictions_close(
    ours: Sequence[Prediction], theirs: Sequence[Prediction], rtol: float = 1e-4
) -> None:
    """Scores to ``rtol``, maps to ``rtol`` of their largest value."""
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.score, other.score, rtol=rtol)
        np.testing.assert_allclose(
            one.anomaly_map, other.anomaly_map, rtol=0, atol=rtol * other.anomaly_map.max()
        )


def assert_predictions_equal(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> None:
    """Every bit, names aside."""
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one.score == other.score
        assert np.array_equal(one.anomaly_map, other.anomaly_map)
        assert (one.size, one.box) == (other.size, other.box)
