"""Pictures of numbers at the ends of float32, and of nothing but one number, fit and update."""

from __future__ import annotations

import numpy as np
import pytest

from softpatch import SoftPatch
from tests.detectors.pictures import SMALL, new_pictures

PICTURES = {
    "subnormal": np.linspace(0, 1e-40, 48 * 64, dtype=np.float32).reshape(48, 64),
    "tiny and one": np.tile(np.array([1e-44, 1.0], np.float32), (48, 32)),
    "zero": np.zeros((48, 64), np.float32),
    "minus zero": np.full((48, 64), -0.0, np.float32),
    "one": np.ones((48, 64), np.float32),
}


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize("discriminator", ["auto", "lof", "position-free"])
@pytest.mark.parametrize("kind", PICTURES)
def test_odd_numbers_in_pictures(kind: str, discriminator: str) -> None:
    odd = [PICTURES[kind]] * 4
    usual = new_pictures(5)
    for first, then in ((usual, odd), (odd, usual)):
        detector = SoftPatch(discriminator=discriminator, **SMALL).fit(first)
        detector.appearance_ = None  # which refuses such pictures
        detector.update(then)
        assert len(detector.image_names_) == 9
        for prediction in detector.predict([*odd[:1], *usual]):
            assert np.isfinite(prediction.score)
            assert np.isfinite(prediction.anomaly_map).all()
