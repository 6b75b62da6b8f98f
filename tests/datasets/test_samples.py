"""Ground truth masks: thresholds, unions, formats and sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from softpatch.datasets import Sample, read_mask
from softpatch.errors import DatasetError, ImageError


def saved(path: Path, pixels: npt.NDArray[Any]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def crack(*masks: Path) -> Sample:
    return Sample(Path("picture.png"), "crack", masks)


def test_grey_is_cut_at_127(tmp_path: Path) -> None:
    pixels = np.array([[0, 1, 127, 128, 254, 255]], np.uint8)
    mask = read_mask(crack(saved(tmp_path / "mask.png", pixels)), (1, 6))
    np.testing.assert_array_equal(mask, pixels > 127)


def test_one_bit_colour_and_bmp_masks_are_read(tmp_path: Path) -> None:
    marked = np.zeros((30, 40), dtype=bool)
    marked[5:9, 20:30] = True
    grey = marked.astype(np.uint8) * 255
    for name, pixels in (("a.png", marked), ("b.png", np.dstack([grey] * 3)), ("c.bmp", grey)):
        mask = read_mask(crack(saved(tmp_path / name, pixels)), (30, 40))
        np.testing.assert_array_equal(mask, marked)


def test_several_masks_are_united(tmp_path: Path) -> None:
    paths = []
    for index in range(3):
        pixels = np.zeros((4, 5), np.uint8)
        pixels[index, :2] = 255
        paths.append(saved(tmp_path / f"{index}.png", pixels))
    mask = read_mask(crack(*paths), (4, 5))
    assert mask[:3, :2].all()
    assert mask.sum() == 6


def test_no_mask_marks_nothing() -> None:
    mask = read_mask(crack(), (3, 4))
    assert mask.shape == (3, 4)
    assert not mask.any()


def test_mask_of_another_size_is_a_dataset_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", np.zeros((3, 5), np.uint8))
    with pytest.raises(DatasetError, match=rf"{path}: is \(3, 5\) pixels, its picture \(3, 4\)"):
        read_mask(crack(path), (3, 4))


def test_unreadable_mask_is_an_image_error(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"mask\.png"):
        read_mask(crack(tmp_path / "mask.png"), (3, 4))
