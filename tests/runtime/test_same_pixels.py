"""Odd files through softpatch, the service and the runtime: the same pixels, or refused alike."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import doors
from softpatch.images.apart import Apart, Encoded
from softpatch.images.decode import image_size, read_image
from softpatch.runtime.errors import ImageError
from softpatch.runtime.images import check_header, decode, read_layers, read_levels, set_bits
from tests.auditing.browser import CHROMIUM
from tests.runtime.deep_files import tiff
from tests.runtime.odd_files import (
    COLOURS,
    DEEP,
    FILES,
    GREY,
    OFF_THE_LIST,
    RGB,
    TURNED,
    of_a_camera,
    saved,
)

SEEN = Path(__file__).parents[2] / "docs" / "seen.md"


def result(read: Callable[[], Any]) -> Any:
    """What is read, or the words in which it is refused."""
    try:
        return read()
    except ImageError as error:
        return error.reason


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    """The process in which the service decodes."""
    process = Apart(1, seconds=60)
    yield process
    process.close()


@pytest.mark.parametrize("kind", FILES)
def test_everybody_reads_the_same_pixels_or_refuses_alike(
    kind: str, apart: Apart, tmp_path: Path
) -> None:
    content = FILES[kind]()
    path = tmp_path / "picture.tif"  # whatever it is
    path.write_bytes(content)
    softpatch = result(lambda: read_image(path))
    service = result(lambda: read_image(Encoded(content, apart), "upload"))
    runtime = result(lambda: read_levels(path))
    if isinstance(softpatch, str):
        assert service == softpatch
        assert runtime == softpatch
        return
    np.testing.assert_array_equal(service.numpy(), softpatch.numpy())
    levels, size, *_ = runtime
    np.testing.assert_array_equal(
        levels, np.rint(softpatch.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    )
    assert size == tuple(softpatch.shape[1:]) == image_size(path, "picture")
    check_header(content, "upload", size[0] * size[1])


def test_the_page_of_what_is_seen_is_what_is_seen() -> None:
    page = SEEN.read_text(encoding="utf-8")
    rows = doors.table()
    assert "DIFFERENT" not in "".join(rows)
    for row in rows:
        assert f"\n{row} " in page, "python -m benchmarks.doors docs/seen.md"
    assert page.count("\n|") == len(rows) + 2
    assert "not looked at" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_of_what_is_seen_is_what_a_browser_shows() -> None:
    page = SEEN.read_text(encoding="utf-8")
    again = "python -m benchmarks.doors docs/seen.md"
    assert doors.recorded(page) | doors.in_browser() == doors.recorded(page), again


def test_without_a_browser_its_column_stays_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "seen.md"
    page.write_bytes(SEEN.read_bytes())
    monkeypatch.setattr(doors, "CHROMIUM", None)
    monkeypatch.setattr("sys.argv", ["doors", str(page)])
    doors.main()
    assert page.read_bytes() == SEEN.read_bytes()
    assert "no Chromium here: what is seen in a browser stays as it was" in capsys.readouterr().out


@pytest.mark.parametrize("kind", OFF_THE_LIST)
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "eps", "gif"])
def test_other_formats_are_refused_by_content_whatever_the_suffix(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    content = FILES[kind]()
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(content)
    words = "not a picture in a format that can be read"
    for read in (
        lambda: read_image(path), lambda: read_levels(path), lambda: image_size(path, "picture"),
        lambda: read_image(content), lambda: check_header(content, "upload", 10**6),
    ):  # fmt: skip
        assert result(read) == words


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("signed 16-bit TIFF, negative", "outside 0..65535; save it with 8 or 16 bits, unsigned"),
        ("signed 8-bit TIFF", "signed bytes; save it with 8 or 16 bits, unsigned"),
        ("unsigned 32-bit TIFF", "outside 0..65535; save it with 8 or 16 bits, unsigned"),
        ("32-bit TIFF in colour", "32 bits in a form that is not read: save it as PNG or TIFF"),
        ("float TIFF in colour", "32 bits in a form that is not read: save it as PNG or TIFF"),
        ("float TIFF of 16 bits", "16 bits in a form that is not read: save it as PNG or TIFF"),
        ("10-bit TIFF, packed", "10 packed bits, such as Mono10p: unpack it"),
        ("14-bit TIFF, packed", "14 packed bits, such as Mono14p: unpack it"),
        ("Bayer TIFF", "(Bayer): demosaic it and save it as PNG or TIFF of 16 bits"),
        ("float TIFF, signed", "float values must lie in [0, 1]; divide them"),
    ],
)
def test_what_is_refused_says_what_to_do(kind: str, words: str) -> None:
    assert words in result(lambda: read_levels(FILES[kind]()))


@pytest.mark.parametrize("name", ["a.raw", "a.BIN", "a.mono12p", "a.bayer"])
def test_data_of_cameras_without_a_header_are_told_how_to_become_pictures(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(bytes(range(96)))
    for read in (lambda: read_image(tmp_path / name), lambda: read_levels(bytes(96), name)):
        assert "unpack Mono10p and Mono12p, demosaic Bayer" in result(read)


@pytest.mark.parametrize(
    "kind", [kind for kind in FILES if kind.startswith(("16-bit", "12-bit P"))]
)
def test_sixteen_bits_a_channel_keep_all_of_them(kind: str) -> None:
    if (
        kind in ("16-bit TIFF", "16-bit PNG", "16-bit PGM")
        or "JPEG 2000" in kind
        or "zero is white" in kind
    ):
        expected = DEEP[:, :, None]
        expected = np.rot90(expected, -1) if "turned" in kind else expected
    elif kind == "12-bit PPM":
        expected = np.rint((COLOURS >> 4) * (65535 / 4095))
    else:
        expected = COLOURS[:, :, :1] if "grey and alpha" in kind else COLOURS
        expected = np.rot90(expected, -1) if "turned" in kind else expected
    values, size, *_ = decode(FILES[kind]())
    scale = 255 if values.dtype == np.uint8 else 1
    assert size == values.shape[:2]
    np.testing.assert_array_equal(np.rint(values / scale * 65535), expected)
    assert set_bits(FILES[kind]()) == np.bitwise_or.reduce(expected.astype(np.uint16), axis=None)


def test_files_whose_zero_is_white_are_the_others_negatives(tmp_path: Path) -> None:
    for bits, pixels, white in ((8, GREY, 255), (16, DEEP, 65535)):
        content = FILES[f"{bits}-bit TIFF, zero is white"]()
        usual = tiff(pixels)
        expected = decode(usual).values
        np.testing.assert_array_equal(decode(content).values, expected)
        with Image.open(io.BytesIO(content)) as image:
            np.testing.assert_array_equal(decode(image).values, expected)
        mask = tiff(np.where(pixels > white // 2, 0, white).astype(pixels.dtype), tags=[(262, 0)])
        np.testing.assert_array_equal(read_layers(mask)[:, :, 0] > 0, pixels > white // 2)


def test_premultiplied_alpha_stays_what_pillow_makes_of_it() -> None:
    content = tiff(np.dstack([COLOURS, DEEP | 255]), tags=[(338, 1)])
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(read_levels(content).values, np.asarray(image.convert("RGB")))


def test_turned_pictures_are_upright_and_of_the_size_that_they_say() -> None:
    sideways = {5, 6, 7, 8}
    for orientation in TURNED:
        levels, size, *_ = read_levels(FILES[f"TIFF, turned {orientation}"]())
        assert size == levels.shape[:2] == ((40, 24) if orientation in sideways else (24, 40))


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind.startswith("MPO")])
def test_the_first_picture_of_a_camera_file_is_the_photograph(kind: str) -> None:
    turned = TURNED[6 if "turned" in kind else 1]
    levels, size, *_ = read_levels(FILES[kind]())
    expected, of_jpeg, *_ = read_levels(saved(RGB, "JPEG", exif=turned))
    assert size == of_jpeg
    np.testing.assert_array_equal(levels, expected)


def test_a_large_camera_file_is_decoded_at_a_fraction_as_a_jpeg_is() -> None:
    large = np.kron(RGB, np.ones((20, 20, 1), np.uint8))
    part, size, *_ = decode(of_a_camera(large), min_decode_side=100)
    expected, *_ = decode(saved(large, "JPEG"), min_decode_side=100)
    assert size == (480, 800)
    assert part.shape == (120, 200, 3)
    np.testing.assert_array_equal(part, expected)


def test_a_picture_replaced_while_it_is_open_stays_the_one_that_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow maps an uncompressed file that it is given by its path."""
    path, other = tmp_path / "picture.bmp", tmp_path / "other"
    path.write_bytes(saved(RGB, "BMP"))
    other.write_bytes(saved(RGB[::-1].copy(), "BMP"))
    load = Image.Image.getexif

    def replaced(image: Image.Image) -> Image.Exif:  # called between opening and decoding
        if other.exists():
            other.replace(path)
        return load(image)

    monkeypatch.setattr(Image.Image, "getexif", replaced)
    np.testing.assert_array_equal(read_levels(path).values, RGB)
    assert not other.exists()
