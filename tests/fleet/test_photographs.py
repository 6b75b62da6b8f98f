"""Changes of brightness and sharpness between many pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from softpatch.fleet.photographs import Photographs, changes, photographs, spread
from tests.auditing.pictures import part, parts


def test_spread_takes_both_ends_and_no_more_than_asked_for() -> None:
    paths = [Path(str(number)) for number in range(100)]
    chosen = [int(path.name) for path in spread(paths, 5)]
    assert chosen == [0, 25, 50, 74, 99]
    assert spread(paths[:3], 5) == paths[:3]


def test_what_a_darker_and_a_softer_camera_change(tmp_path: Path) -> None:
    then = photographs(parts(tmp_path / "then", 12))
    assert changes(then, photographs(parts(tmp_path / "again", 10))) == (None, None)
    for seed in range(50, 60):
        dark = Image.fromarray((part(seed) * 0.8).astype(np.uint8))
        dark.save(tmp_path / f"dark{seed}.png")
        soft = Image.fromarray(part(seed)).filter(ImageFilter.GaussianBlur(2))
        soft.save(tmp_path / f"soft{seed}.png")
    brightness, sharpness = changes(then, photographs(sorted(tmp_path.glob("dark*"))))
    assert brightness == pytest.approx(-0.2 * np.median(then.brightness), abs=0.01)
    assert sharpness is None
    brightness, sharpness = changes(then, photographs(sorted(tmp_path.glob("soft*"))))
    assert brightness is None
    assert sharpness is not None
    assert sharpness < -1


def test_few_or_scattered_pictures_tell_nothing() -> None:
    few = Photographs((0.1,) * 7, ())
    many = Photographs((0.9,) * 20, ())
    assert changes(few, many) == (None, None)
    wide = Photographs(tuple(np.linspace(0, 1, 10)), ())
    assert changes(wide, Photographs((0.7,) * 20, ())) == (None, None)
