"""Resize, centre crop, normalise; and the box that leads back to the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from softpatch.errors import UsageError
from softpatch.images.preprocessing import Preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def plain(resize: tuple[int, int], crop: tuple[int, int]) -> Preprocessing:
    """Without normalisation."""
    return Preprocessing(resize, crop, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def ramp(height: int, width: int) -> Tensor:
    """Row number in red, column number in green, as shares of the picture."""
    rows = ((torch.arange(height) + 0.5) / height).view(-1, 1).expand(height, width)
    columns = ((torch.arange(width) + 0.5) / width).expand(height, width)
    return torch.stack([rows, columns, torch.zeros(height, width)])


@pytest.mark.parametrize(
    ("resize", "crop", "offset"),
    [
        pytest.param((256, 256), (224, 224), (16, 16), id="paper"),
        pytest.param((512, 512), (512, 512), (0, 0), id="no-crop"),
        pytest.param((100, 60), (40, 60), (30, 0), id="tall"),
        pytest.param((10, 12), (4, 2), (3, 5), id="not-square"),
    ],
)
def test_crop_is_centred(
    resize: tuple[int, int], crop: tuple[int, int], offset: tuple[int, int]
) -> None:
    preprocessing = plain(resize, crop)
    assert (
        preprocessing.layout(*resize).rows.offset,
        preprocessing.layout(*resize).columns.offset,
    ) == offset
    picture = ramp(*resize)
    top, left = offset
    torch.testing.assert_close(
        preprocessing(picture)[0], picture[:, top : top + crop[0], left : left + crop[1]]
    )


@pytest.mark.parametrize(("height", "width"), [(900, 900), (300, 700), (64, 48), (7, 5), (1, 1)])
def test_every_picture_becomes_the_crops_size(height: int, width: int) -> None:
    seen = plain((32, 40), (24, 30))(ramp(height, width))[0]
    assert seen.shape == (3, 24, 30)
    assert seen.dtype == torch.float32


def test_normalises_each_channel() -> None:
    picture = torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1).expand(3, 8, 8)
    (seen,) = Preprocessing((8, 8), (4, 4), MEAN, STD)(picture)
    expected = [(0.2 - MEAN[0]) / STD[0], (0.5 - MEAN[1]) / STD[1], (0.9 - MEAN[2]) / STD[2]]
    torch.testing.assert_close(seen, torch.tensor(expected).view(3, 1, 1).expand(3, 4, 4))


@pytest.mark.parametrize("size", [(97, 61), (400, 300)])
def test_8_bit_and_float_pictures_are_seen_alike(size: tuple[int, int]) -> None:
    levels = np.random.default_rng(0).integers(0, 256, size=(3, *size), dtype=np.uint8)
    preprocessing = plain((64, 64), (48, 48))
    from_bytes = preprocessing(torch.from_numpy(levels))
    from_floats = preprocessing(torch.from_numpy(levels.astype(np.float32) / 255))
    assert from_bytes.dtype == torch.float32
    # The resized 8-bit picture is rounded to whole levels, in either direction.
    assert float((from_bytes - from_floats).abs().max()) <= 1 / 255


@pytest.mark.parametrize("size", [(97, 61), (20, 30)])
def test_resizes_as_pillow_does(size: tuple[int, int]) -> None:
    """Anti-aliased bilinear: the network was trained on pictures made like that."""
    levels = np.random.default_rng(0).integers(0, 256, size=(*size, 3), dtype=np.uint8)
    pillow = Image.fromarray(levels).resize((40, 32), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.asarray(pillow).copy()).permute(2, 0, 1) / 255
    seen = plain((32, 40), (32, 40))(torch.from_numpy(levels).permute(2, 0, 1) / 255)[0]
    assert float((seen - expected).abs().max()) <= 1.5 / 255


@given(
    size=st.tuples(st.integers(1, 3_000), st.integers(1, 3_000)),
    resize=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    margin=st.tuples(st.integers(0, 599), st.integers(0, 599)),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_box_lies_within_the_picture_and_around_its_centre(
    size: tuple[int, int], resize: tuple[int, int], margin: tuple[int, int]
) -> None:
    crop = (max(1, resize[0] - margin[0]), max(1, resize[1] - margin[1]))
    left, top, right, bottom = plain(resize, crop).layout(*size).box
    assert 0 <= left < right <= size[1] * (1 + 1e-9)
    assert 0 <= top < bottom <= size[0] * (1 + 1e-9)
    assert right - left == pytest.approx(crop[1] / resize[1] * size[1])
    assert bottom - top == pytest.approx(crop[0] / resize[0] * size[0])
    # An odd margin cannot be halved: the crop is then half a resized pixel off centre.
    assert abs((left + right) / 2 - size[1] / 2) <= 0.501 * size[1] / resize[1]
    assert abs((top + bottom) / 2 - size[0] / 2) <= 0.501 * size[0] / resize[0]


@pytest.mark.parametrize(("height", "width"), [(640, 480), (123, 457)])
def test_box_leads_from_a_seen_pixel_back_to_the_picture(height: int, width: int) -> None:
    """The ramp's value at a seen pixel says where in the picture it comes from."""
    preprocessing = plain((64, 80), (48, 40))
    seen = preprocessing(ramp(height, width))[0]
    left, top, right, bottom = preprocessing.layout(height, width).box
    for row, column in ((0, 0), (20, 30), (47, 39)):
        y = top + (row + 0.5) / 48 * (bottom - top)
        x = left + (column + 0.5) / 40 * (right - left)
        assert float(seen[0, row, column]) == pytest.approx(y / height, abs=1e-3)
        assert float(seen[1, row, column]) == pytest.approx(x / width, abs=1e-3)


@pytest.mark.parametrize("crop", [(0, 5), (11, 5), (5, 11)])
def test_crop_must_lie_within_resize(crop: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="must lie within resize"):
        plain((10, 10), crop)
