"""The reference detector: held-out pictures are as new to it as new ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softpatch import SoftPatch, load
from softpatch.fleet.drift import make_reference, unlikeness
from tests.auditing.pictures import parts
from tests.fleet.conftest import OPTIONS


@pytest.mark.usefixtures("one_backbone")
def test_one_half_is_as_new_to_it_as_new_pictures_are(tmp_path: Path) -> None:
    pictures = parts(tmp_path / "parts", 41)
    detector = SoftPatch(**OPTIONS)
    reference = make_reference(detector, pictures[:21])
    assert reference is not None
    assert reference.image_names_ == [str(path) for path in pictures[:21:2]]
    assert reference.held_out_ is not None
    old = reference.held_out_.numpy()
    np.testing.assert_array_equal(old, unlikeness(reference, pictures[1:21:2]))
    ranks = np.searchsorted(np.sort(old), unlikeness(reference, pictures[21:])) / len(old)
    assert 0.3 < ranks.mean() < 0.7  # 0.5 up to three standard errors
    assert unlikeness(reference, pictures[:21:2]).mean() < old.mean() - old.std()
    reference.save(tmp_path / "reference")
    again = load(tmp_path / "reference")
    np.testing.assert_array_equal(unlikeness(again, pictures[1:21:2]), old)  # type: ignore[arg-type]
    assert make_reference(detector, pictures[:3]) is None
