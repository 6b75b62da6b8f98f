"""The day on which photographs were taken."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from softpatch.images.days import one_day
from softpatch.images.image_source import ImageSource


def photograph(path: Path, taken: str | None) -> Path:
    image = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
    exif = Image.Exif()
    if taken is not None:
        exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: taken}
    image.save(path, exif=exif.tobytes())
    os.utime(path, (0, 0))  # as copied folders have one time for all
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_one_day_is_told_whatever_the_hour_and_format(tmp_path: Path, suffix: str) -> None:
    hours = ("06:00:00", "14:30:10", "23:59:59")
    taken = [
        photograph(tmp_path / f"{at}.{suffix}", f"2026:03:05 {hour}")
        for at, hour in enumerate(hours)
    ]
    assert one_day(taken) == "2026-03-05"


@pytest.mark.parametrize(
    "other", ["2026:03:06 00:00:00", None, "0000:00:00 00:00:00", "    :  :     :  :  ", "soon"]
)
def test_another_day_or_one_that_is_not_told_ends_it(tmp_path: Path, other: str | None) -> None:
    taken = [photograph(tmp_path / f"{at}.jpg", "2026:03:05 10:00:00") for at in range(3)]
    assert one_day([*taken, photograph(tmp_path / "other.jpg", other)]) is None


def test_pictures_that_cannot_be_read_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    taken = photograph(tmp_path / "a.jpg", "2026:03:05 10:00:00")
    assert one_day([tmp_path / "cut.jpg", taken, tmp_path / "gone.jpg"]) == "2026-03-05"
    assert one_day([tmp_path / "cut.jpg"]) is None


def test_what_is_elsewhere_does_not_tell(tmp_path: Path) -> None:
    taken = photograph(tmp_path / "a.jpg", "2026:03:05 10:00:00")
    assert one_day([taken, ImageSource("s3://bucket/b.jpg", b"")]) is None
