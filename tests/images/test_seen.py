"""A picture as it is seen, drawn for people."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from softpatch.errors import ImageError
from softpatch.images.apart import Apart
from softpatch.images.seen import seen_as_jpeg
from softpatch.runtime.heatmap import LONGEST_SIDE
from softpatch.runtime.intensity import FULL, Intensity
from tests.runtime.deep_files import png
from tests.serving.pictures import encoded

RAMP = np.repeat(np.arange(40, 240, 5, dtype=np.uint8), 8)[None, :, None].repeat(48, axis=0)


def drawn(content: bytes, intensity: Intensity = FULL) -> Image.Image:
    image = Image.open(io.BytesIO(seen_as_jpeg(content, "a", intensity)))
    assert image.format == "JPEG"
    return image


def test_more_than_eight_bits_are_as_the_model_takes_them() -> None:
    deep = RAMP.astype(np.uint16) * 16
    image = np.asarray(drawn(png(deep), Intensity(0, 4080)).convert("L"))
    np.testing.assert_allclose(image.astype(int), RAMP[:, :, 0], atol=4)
    assert np.asarray(drawn(png(deep))).max() < 20


@pytest.mark.parametrize("size", [(1500, 3000), (3000, 1500), (1, 5000), (5000, 1), (30, 20)])
def test_large_pictures_are_scaled_down_in_their_shape(size: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG"):
        width, height = drawn(encoded(np.full((*size, 3), 99, np.uint8), kind)).size
        assert max(width, height) == min(LONGEST_SIDE, max(size))
        assert width / height == pytest.approx(size[1] / size[0], rel=0.01) or 1 in (width, height)


def test_in_another_process_it_is_the_same() -> None:
    apart = Apart(1, 60)
    try:
        content, intensity = png(RAMP.astype(np.uint16) * 16), Intensity(0, 4080)
        assert apart.seen_as_jpeg(content, "a", intensity) == seen_as_jpeg(content, "a", intensity)
        with pytest.raises(ImageError, match=r"a\.png: not a picture in a format that can be read"):
            apart.seen_as_jpeg(b"no picture", "a.png")
    finally:
        apart.close()
