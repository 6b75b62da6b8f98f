"""Odd files through softpatch, the service and the runtime: the same pixels, or refused alike."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from softpatch.images.decode import image_size, read_image
from softpatch.runtime.errors import ImageError
from softpatch.runtime.images import check_header, decode, read_levels, set_bits
from tests.runtime.deep_files import ORDERS, png, ppm, tiff

ROWS, COLUMNS = np.mgrid[0:24, 0:40]
RGB = np.stack([COLUMNS * 6, ROWS * 10, 255 - COLUMNS * 5 - ROWS], -1).astype(np.uint8)
GREY = RGB[:, :, 0]
DEEP = GREY.astype(np.uint16) * 257
COLOURS = RGB.astype(np.uint16) * 251 + 7  # that 8 bits do not hold
UNIT = GREY.astype(np.float32) / 255
TURNED = {orientation: Image.Exif() for orientation in range(1, 9)}
for orientation, exif in TURNED.items():
    exif[ExifTags.Base.Orientation] = orientation


def saved(image: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def with_hole(value: float) -> Any:
    pixels = UNIT.copy()
    pixels[3, 3] = value
    return pixels


def pages(kind: str) -> bytes:
    second = Image.fromarray(RGB[::-1].copy())
    return saved(RGB, kind, save_all=True, append_images=[second])


FLAT = Image.fromarray(RGB)


def of_a_camera(image: Any = RGB, **options: Any) -> bytes:
    """A JPEG file with a preview behind the photograph."""
    preview = Image.new("RGB", (16, 12))
    return saved(image, "MPO", save_all=True, append_images=[preview], **options)


ODD: dict[str, Callable[[], bytes]] = {
    "float TIFF": lambda: saved(UNIT, "TIFF"),
    "float TIFF, 0 to 255": lambda: saved(UNIT * 255, "TIFF"),
    "float TIFF, signed": lambda: saved(UNIT - 0.5, "TIFF"),
    "float TIFF, NaN": lambda: saved(with_hole(np.nan), "TIFF"),
    "float TIFF, infinite": lambda: saved(with_hole(np.inf), "TIFF"),
    "32-bit TIFF": lambda: saved(DEEP.astype(np.int32), "TIFF"),
    "32-bit TIFF, beyond 16": lambda: saved(DEEP.astype(np.int32) * 70_000, "TIFF"),
    "32-bit TIFF, negative": lambda: saved(DEEP.astype(np.int32) - 9, "TIFF"),
    "16-bit TIFF": lambda: saved(DEEP, "TIFF"),
    "16-bit PNG": lambda: saved(DEEP, "PNG"),
    "16-bit PGM": lambda: saved(DEEP, "PPM"),
    "16-bit PNG in colour": lambda: png(COLOURS),
    "16-bit PNG in colour, with alpha": lambda: png(np.dstack([COLOURS, DEEP])),
    "16-bit PNG, grey and alpha": lambda: png(COLOURS[:, :, :2]),
    "16-bit PPM": lambda: ppm(COLOURS),
    "12-bit PPM": lambda: ppm(COLOURS >> 4, 4095),
    **{
        f"16-bit TIFF in colour, {order} {apart} {rows}": partial(
            tiff, COLOURS, order=order, apart=apart, rows=rows
        )
        for order in ORDERS for apart in (False, True) for rows in (None, 5)
    },
    "16-bit TIFF in colour, turned": lambda: tiff(COLOURS, orientation=6),
    "16-bit TIFF in colour, with a fourth": lambda: tiff(
        np.dstack([COLOURS, DEEP]), apart=True, tags=[(338, 0)]
    ),
    "8-bit TIFF, one colour after the other": lambda: tiff(RGB, apart=True),
    "signed 16-bit TIFF": lambda: tiff(GREY.astype(np.int16) * 90),
    "signed 16-bit TIFF, negative": lambda: tiff(GREY.astype(np.int16) * 90 - 9),
    "signed 8-bit TIFF": lambda: tiff(GREY.astype(np.int8)),
    "unsigned 32-bit TIFF": lambda: tiff(DEEP.astype(np.uint32) << 16),
    "32-bit TIFF in colour": lambda: tiff(COLOURS.astype(np.uint32)),
    "float TIFF in colour": lambda: tiff(RGB.astype(np.float32) / 255),
    "float TIFF of 16 bits": lambda: tiff(UNIT.astype(np.float16)),
    "10-bit TIFF, packed": lambda: tiff(DEEP, bits=10),
    "14-bit TIFF, packed": lambda: tiff(DEEP, bits=14),
    "Bayer TIFF": lambda: tiff(DEEP, tags=[(262, 32803)]),
    "16-bit JPEG 2000": lambda: saved(DEEP, "JPEG2000"),
    "one bit": lambda: saved(GREY > 90, "PNG"),
    "palette": lambda: saved(FLAT.quantize(16), "PNG"),
    "palette, transparent": lambda: saved(FLAT.quantize(16), "PNG", transparency=2),
    "GIF": lambda: saved(FLAT.quantize(16), "GIF"),
    "alpha": lambda: saved(np.dstack([RGB, GREY]), "PNG"),
    "grey and alpha": lambda: saved(np.dstack([GREY, GREY]), "PNG"),
    "CMYK TIFF": lambda: saved(FLAT.convert("CMYK"), "TIFF"),
    "CMYK JPEG": lambda: saved(FLAT.convert("CMYK"), "JPEG"),
    "YCbCr TIFF": lambda: saved(FLAT.convert("YCbCr"), "TIFF"),
    "LAB TIFF": lambda: saved(Image.new("LAB", (8, 6), (90, 20, 30)), "TIFF"),
    "grey JPEG": lambda: saved(GREY, "JPEG"),
    "AVIF": lambda: saved(RGB, "AVIF"),
    "MPO": lambda: of_a_camera(),
    "MPO, turned": lambda: of_a_camera(exif=TURNED[6]),
    "MPO, its list of pictures damaged": lambda: of_a_camera().replace(b"MPF\0II", b"MPF\0XX"),
    "MPO, its preview cut": lambda: of_a_camera()[:-300],
    "frames, GIF": lambda: pages("GIF"),
    "frames, WebP": lambda: pages("WEBP"),
    "frames, PNG": lambda: pages("PNG"),
    "pages, TIFF": lambda: pages("TIFF"),
    "PNG, cut": lambda: saved(RGB, "PNG")[:-40],
    "JPEG, cut": lambda: saved(RGB, "JPEG")[:-40],
    "TIFF, cut": lambda: saved(RGB, "TIFF")[:-40],
    "nothing": lambda: b"",
    "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "PDF": lambda: b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
    "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "HEIC": lambda: b"\0\0\0\x18ftypheic" + bytes(200),
    "WMF": lambda: b"\xd7\xcd\xc6\x9a" + bytes(40),
    "GRIB": lambda: b"GRIB" + b"\0\0\0\x01" + bytes(40),
    "ICO": lambda: saved(FLAT, "ICO"),
    "PCX": lambda: saved(FLAT, "PCX"),
    **{
        f"{kind}, turned {orientation}": partial(saved, RGB, kind, exif=exif)
        for kind in ("TIFF", "JPEG", "PNG", "WEBP")
        for orientation, exif in TURNED.items()
    },
}  # fmt: skip
OFF_THE_LIST = ("EPS", "PDF", "SVG", "HEIC", "WMF", "GRIB", "ICO", "PCX")


def result(read: Callable[[], Any]) -> Any:
    """What is read, or the words in which it is refused."""
    try:
        return read()
    except ImageError as error:
        return error.reason


@pytest.mark.parametrize("kind", ODD)
def test_everybody_reads_the_same_pixels_or_refuses_alike(kind: str, tmp_path: Path) -> None:
    content = ODD[kind]()
    path = tmp_path / "picture.tif"  # whatever it is
    path.write_bytes(content)
    softpatch = result(lambda: read_image(path))
    service = result(lambda: read_image(content, "upload"))
    runtime = result(lambda: read_levels(path))
    if isinstance(softpatch, str):
        assert service == softpatch
        assert runtime == softpatch
        return
    np.testing.assert_array_equal(service.numpy(), softpatch.numpy())
    levels, size, _ = runtime
    np.testing.assert_array_equal(
        levels, np.rint(softpatch.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    )
    assert size == tuple(softpatch.shape[1:]) == image_size(path, "picture")
    check_header(content, "upload", size[0] * size[1])


@pytest.mark.parametrize("kind", OFF_THE_LIST)
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "eps", "gif"])
def test_other_formats_are_refused_by_content_whatever_the_suffix(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    content = ODD[kind]()
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
    assert words in result(lambda: read_levels(ODD[kind]()))


@pytest.mark.parametrize("name", ["a.raw", "a.BIN", "a.mono12p", "a.bayer"])
def test_data_of_cameras_without_a_header_are_told_how_to_become_pictures(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(bytes(range(96)))
    for read in (lambda: read_image(tmp_path / name), lambda: read_levels(bytes(96), name)):
        assert "unpack Mono10p and Mono12p, demosaic Bayer" in result(read)


@pytest.mark.parametrize("kind", [kind for kind in ODD if kind.startswith(("16-bit", "12-bit P"))])
def test_sixteen_bits_a_channel_keep_all_of_them(kind: str) -> None:
    if "JPEG 2000" in kind or kind in ("16-bit TIFF", "16-bit PNG", "16-bit PGM"):
        expected = DEEP[:, :, None]
    elif kind == "12-bit PPM":
        expected = np.rint((COLOURS >> 4) * (65535 / 4095))
    else:
        expected = COLOURS[:, :, :1] if "grey and alpha" in kind else COLOURS
        expected = np.rot90(expected, -1) if "turned" in kind else expected
    values, size, _ = decode(ODD[kind]())
    scale = 255 if values.dtype == np.uint8 else 1
    assert size == values.shape[:2]
    np.testing.assert_array_equal(np.rint(values / scale * 65535), expected)
    assert set_bits(ODD[kind]()) == np.bitwise_or.reduce(expected.astype(np.uint16), axis=None)


def test_premultiplied_alpha_stays_what_pillow_makes_of_it() -> None:
    content = tiff(np.dstack([COLOURS, DEEP | 255]), tags=[(338, 1)])
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(read_levels(content).values, np.asarray(image.convert("RGB")))


def test_turned_pictures_are_upright_and_of_the_size_that_they_say() -> None:
    sideways = {5, 6, 7, 8}
    for orientation in TURNED:
        levels, size, _ = read_levels(ODD[f"TIFF, turned {orientation}"]())
        assert size == levels.shape[:2] == ((40, 24) if orientation in sideways else (24, 40))


@pytest.mark.parametrize("kind", [kind for kind in ODD if kind.startswith("MPO")])
def test_the_first_picture_of_a_camera_file_is_the_photograph(kind: str) -> None:
    turned = TURNED[6 if "turned" in kind else 1]
    levels, size, _ = read_levels(ODD[kind]())
    expected, of_jpeg, _ = read_levels(saved(RGB, "JPEG", exif=turned))
    assert size == of_jpeg
    np.testing.assert_array_equal(levels, expected)


def test_a_large_camera_file_is_decoded_at_a_fraction_as_a_jpeg_is() -> None:
    large = np.kron(RGB, np.ones((20, 20, 1), np.uint8))
    part, size, _ = decode(of_a_camera(large), min_decode_side=100)
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
