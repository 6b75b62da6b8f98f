"""Pictures come back as they were seen, in a file that every browser shows."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import ExifTags, Image

from softpatch import SoftPatch, load
from softpatch.serving import Models, ServerSettings, create_app
from tests.detectors.pictures import new_pictures
from tests.runtime.deep_files import png, tiff
from tests.serving.conftest import Make
from tests.serving.pictures import DARK, encoded, sent

SEEN = "/models/part/detect?picture=jpeg"


def image(text: str) -> Any:
    """The values of a JPEG file as base64."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as opened:
        assert opened.format == "JPEG"
        return np.asarray(opened).astype(int)


def turned(kind: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return encoded(np.ascontiguousarray(np.rot90(DARK)), kind, exif=exif, **options)


@pytest.fixture(scope="module")
def of_twelve_bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of pictures with 12 bits in 16, of which those that are called dark exceed 120."""
    path = tmp_path_factory.mktemp("deep") / "part.softpatch"
    pictures = [picture.astype(np.uint16) * 16 for picture in new_pictures(9)[:-1]]
    detector = SoftPatch(resize=64, crop=64, dimension=64, max_false_alarms=None).fit(pictures)
    detector.threshold_ = 120.0
    detector.save(path)
    return path


@pytest.fixture
def deep_client(of_twelve_bits: Path) -> Iterator[TestClient]:
    models = Models({"part": of_twelve_bits}, load)
    with TestClient(create_app(models, ServerSettings())) as client:
        yield client


@pytest.mark.parametrize(
    "content",
    [
        encoded(DARK), encoded(DARK, "TIFF"), encoded(DARK, "PPM"), encoded(DARK, "JPEG2000"),
        turned("WEBP", lossless=True), turned("TIFF"), turned("PNG"), turned("JPEG", quality=100),
        tiff(DARK.astype(np.uint16) * 257), png(DARK.astype(np.uint16) * 257),
    ],
    ids=[
        "PNG", "TIFF", "PPM", "JPEG 2000",
        "turned WebP", "turned TIFF", "turned PNG", "turned JPEG", "16-bit TIFF", "16-bit PNG",
    ],
)  # fmt: skip
def test_it_is_what_was_scored_whatever_the_file(client: TestClient, content: bytes) -> None:
    [result] = client.post(SEEN, files=sent(content)).json()["Results"]
    seen = image(result["Picture"])
    assert seen.shape == (result["Height"], result["Width"], 3) == (48, 64, 3)
    assert np.abs(seen - DARK).mean() < 6  # its noise is what a JPEG file keeps least of


def test_with_the_black_and_white_of_the_model(deep_client: TestClient) -> None:
    content = png(DARK.astype(np.uint16) * 16)
    [result] = deep_client.post(SEEN, files=sent(content)).json()["Results"]
    assert np.abs(image(result["Picture"]) - DARK).mean() < 6


def test_of_a_picture_that_is_not_judged_too(deep_client: TestClient) -> None:
    even = png(np.full((48, 64, 3), 200 * 16, np.uint16))
    answer = deep_client.post(SEEN, files=sent(encoded(), even))
    assert answer.status_code == 422
    assert answer.json()["detail"] == ("1.png: not judged: it shows one even colour; take it again")
    np.testing.assert_allclose(image(answer.json()["picture"]), 200, atol=2)


def test_only_where_it_is_asked_for(make: Make) -> None:
    with TestClient(make()) as client:
        plain, _, _ = SEEN.partition("?")
        for query in ("", "?map=png"):
            [result] = client.post(plain + query, files=sent(encoded())).json()["Results"]
            assert result["Picture"] is None
        [result] = client.post(f"{SEEN}&map=png", files=sent(encoded())).json()["Results"]
        assert result["Picture"]
        assert result["AnomalyMask"]
        answer = client.post(f"{plain}?picture=png", files=sent(encoded()))
        assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "literal_error")
