"""Pictures in: what is read, to which values, and what is refused with which words."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from torch.utils.data import Dataset

from softpatch.errors import DatasetError, ImageError, UsageError
from softpatch.images.decode import Picture, decode_image, decode_reduced, read_image, to_unit
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import (
    READ_AHEAD,
    UnreadableImageWarning,
    fail_unreadable,
    image_sources,
    is_single_image,
    listed_sources,
    prefetch,
    warn_unreadable,
)
from softpatch.runtime import images
from softpatch.runtime.heatmap import png_bytes
from softpatch.runtime.images import check_header
from softpatch.runtime.listing import list_images
from tests.png import png_chunk, png_that_claims

HEIGHT, WIDTH = 12, 20
Array = npt.NDArray[Any]

# Smooth, so that JPEG keeps it; not symmetric, so that a swap of axes or channels shows.
_ROWS, _COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
RGB = np.stack([_COLUMNS * 12, _ROWS * 15 + 20, 220 - _COLUMNS * 5 - _ROWS], -1).astype(np.uint8)
GREY = RGB[:, :, 0]
DEEP = (GREY.astype(np.uint16) * 257 + 3).clip(0, 65535).astype(np.uint16)
UNIT = (GREY / 255).astype(np.float32)


def as_grey(values: Array) -> Array:
    """(H, W) in [0, 1] -> (3, H, W)."""
    return np.repeat(values[None], 3, axis=0)


def as_colour(values: Array) -> Array:
    """(H, W, 3) in 0..255 -> (3, H, W) in [0, 1]."""
    return np.moveaxis(values, -1, 0) / 255


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def check(tensor: torch.Tensor, expected: Array, tolerance: float = 1e-6) -> None:
    assert tensor.dtype == torch.float32
    assert tensor.shape == expected.shape
    assert tensor.min() >= 0
    assert tensor.max() <= 1
    np.testing.assert_allclose(tensor.numpy(), expected, atol=tolerance)


def refusal(content: Any, name: str = "image") -> str:
    """The words in which a picture is refused: one line that begins with its name."""
    with pytest.raises(ImageError) as caught:
        read_image(content, name)
    error = caught.value
    message = str(error)
    assert message == f"{error.name}: {error.reason}"
    assert error.name == (str(content) if isinstance(content, Path) else name)
    assert "\n" not in message
    return error.reason


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        ("png", {}, 1e-6),
        ("PNG", {}, 1e-6),
        ("bmp", {}, 1e-6),
        ("tif", {}, 1e-6),
        ("tiff", {"compression": "tiff_lzw"}, 1e-6),
        ("webp", {"lossless": True}, 1e-6),
        ("jpg", {"quality": 95}, 0.05),
        ("jpeg", {"quality": 95, "progressive": True}, 0.05),
        ("jpe", {"quality": 95}, 0.05),
        ("jfif", {"quality": 95}, 0.05),
        ("dib", {}, 1e-6),
        ("ppm", {}, 1e-6),
        ("pnm", {}, 1e-6),
        ("jp2", {"irreversible": False}, 1e-6),
        ("j2k", {"irreversible": False}, 1e-6),
        ("avif", {"quality": 100, "subsampling": "4:4:4"}, 0.05),
    ],
)
def test_colour_file_of_every_format(
    tmp_path: Path, suffix: str, options: dict[str, Any], tolerance: float
) -> None:
    path = save(tmp_path / f"picture.{suffix}", Image.fromarray(RGB), **options)
    check(read_image(path), as_colour(RGB), tolerance)
    check(read_image(str(path)), as_colour(RGB), tolerance)
    check(read_image(path.read_bytes()), as_colour(RGB), tolerance)


def test_header_alone_says_what_is_no_picture_and_what_is_too_large(tmp_path: Path) -> None:
    content = save(tmp_path / "picture.png", Image.fromarray(RGB)).read_bytes()
    check_header(content, "part", HEIGHT * WIDTH)
    check_header(content[:60], "part", HEIGHT * WIDTH)  # the rest is not looked at
    for wrong, most, words in (
        (content, HEIGHT * WIDTH - 1, "part: more than 239 pixels"),
        (b"", 1, "part: the file is empty"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
            1,
            "part: not a picture in a format that can be read",
        ),
    ):
        with pytest.raises(ImageError, match=words):
            check_header(wrong, "part", most)


@pytest.mark.parametrize("kind", ["EPS", "ICO", "TGA", "PCX", "SGI", "DDS", "PDF"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_only_formats_on_the_list_are_opened_whatever_the_suffix(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    """Some of Pillow's other readers start programs."""
    path = tmp_path / f"picture{suffix}"
    Image.new("RGB", (8, 8)).save(path, format=kind)
    for content in (path, path.read_bytes()):
        assert "not a picture in a format that can be read" in refusal(content)


def alpha(image: Image.Image) -> Image.Image:
    image.putalpha(Image.fromarray(255 - GREY))
    return image


def palette(transparency: int | bytes | None) -> tuple[Image.Image, Array]:
    """A palette picture, and its colours."""
    indices = (GREY // 16).astype(np.uint8)
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    if transparency is not None:
        image.info["transparency"] = transparency
    return image, colours[indices]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(Image.fromarray(GREY), as_grey(UNIT), id="L"),
        pytest.param(alpha(Image.fromarray(GREY)), as_grey(UNIT), id="LA"),
        pytest.param(alpha(Image.fromarray(RGB)), as_colour(RGB), id="RGBA"),
        pytest.param(Image.fromarray(GREY > 90), as_grey(GREY > 90), id="1"),
        pytest.param(Image.fromarray(DEEP), as_grey(DEEP / 65535), id="I;16"),
    ],
)
def test_png_of_every_mode(tmp_path: Path, image: Image.Image, expected: Array) -> None:
    path = save(tmp_path / "picture.png", image)
    with Image.open(path) as stored:
        assert stored.mode == image.mode
    check(read_image(path), expected)
    check(read_image(image), expected)


@pytest.mark.parametrize(
    "transparency",
    [
        pytest.param(None, id="none"),
        pytest.param(3, id="one colour"),
        pytest.param(bytes(range(0, 256, 8)), id="an alpha per colour"),
    ],
)
def test_palette_png_is_read_by_its_colours_without_a_warning(
    tmp_path: Path, transparency: int | bytes | None
) -> None:
    image, colours = palette(transparency)
    path = save(tmp_path / "picture.png", image)
    with Image.open(path) as stored:
        assert stored.mode == "P"
        assert ("transparency" in stored.info) == (transparency is not None)
    check(read_image(path), as_colour(colours))


def test_gif_of_one_frame_is_read_by_its_colours(tmp_path: Path) -> None:
    image, colours = palette(None)
    check(read_image(save(tmp_path / "picture.gif", image)), as_colour(colours))


@pytest.mark.parametrize("transparency", [0, 90])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_png_with_a_transparent_colour_keeps_its_values(
    tmp_path: Path, mode: str, transparency: int
) -> None:
    image = Image.fromarray(GREY).convert(mode)
    key = transparency if mode == "L" else (transparency,) * 3
    path = save(tmp_path / "picture.png", image, transparency=key)
    check(read_image(path), as_grey(UNIT))


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_cmyk_becomes_rgb(tmp_path: Path, suffix: str) -> None:
    ink = Image.fromarray(np.dstack([255 - RGB, np.zeros_like(GREY)]), mode="CMYK")
    options = {} if suffix == "tif" else {"quality": 95}
    path = save(tmp_path / f"picture.{suffix}", ink, **options)
    with Image.open(path) as stored:
        assert stored.mode == "CMYK"
    check(read_image(path), as_colour(RGB), 1e-6 if suffix == "tif" else 0.05)


def tiff(samples: Array, sample_format: int) -> bytes:
    """A grey TIFF of one strip, in the byte order of ``samples``."""
    order = ">" if samples.dtype.byteorder == ">" else "<"
    height, width = samples.shape
    tags = [
        (256, width), (257, height), (258, samples.dtype.itemsize * 8), (259, 1), (262, 1),
        (273, 8 + 2 + 12 * 10 + 4), (277, 1), (278, height), (279, samples.nbytes),
        (339, sample_format),
    ]  # fmt: skip
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    mark = b"MM" if order == ">" else b"II"
    head = mark + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", len(tags))
    return head + entries + bytes(4) + samples.tobytes()


@pytest.mark.parametrize(
    ("samples", "sample_format", "mode"),
    [
        pytest.param(DEEP.astype("<u2"), 1, "I;16", id="little-endian"),
        pytest.param(DEEP.astype(">u2"), 1, "I;16B", id="big-endian"),
        pytest.param(DEEP.astype("<i4"), 2, "I", id="32-bit"),
        pytest.param(DEEP.astype(">i4"), 2, "I", id="32-bit big-endian"),
    ],
)
def test_deep_grey_tiff_is_scaled_by_65535(
    tmp_path: Path, samples: Array, sample_format: int, mode: str
) -> None:
    path = tmp_path / "picture.tif"
    path.write_bytes(tiff(samples, sample_format))
    with Image.open(path) as stored:
        assert stored.mode.startswith(mode)
    check(read_image(path), as_grey(DEEP / 65535))


@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_float_tiff_is_taken_as_it_is(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "picture.tif"
    path.write_bytes(tiff(UNIT.astype(dtype), 3))
    check(read_image(path), as_grey(UNIT))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (2, lambda pixels: pixels[:, ::-1]),
        (3, lambda pixels: pixels[::-1, ::-1]),
        (6, lambda pixels: np.rot90(pixels, -1)),
        (8, lambda pixels: np.rot90(pixels, 1)),
    ],
)
def test_exif_rotation_is_applied(
    tmp_path: Path, suffix: str, orientation: int, undo: Callable[[Array], Array]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    options |= {"quality": 95} if suffix == "jpg" else {}
    path = save(tmp_path / f"picture.{suffix}", Image.fromarray(RGB), exif=exif, **options)
    check(read_image(path), as_colour(undo(RGB)), 0.06 if suffix == "jpg" else 1e-6)


def test_exif_rotation_of_a_pil_image_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "picture.png", Image.fromarray(RGB), exif=exif)
    with Image.open(path) as image:
        check(read_image(image), read_image(path).numpy())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's own
def test_broken_exif_does_not_spoil_the_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "p.jpg", Image.fromarray(RGB), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    check(read_image(path), as_colour(RGB), 0.1)


# --- in memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "full"),
    [
        (np.uint8, 255),
        (np.uint16, 65535),
        (np.dtype(">u2"), 65535),
        (np.float16, 1),
        (np.float32, 1),
        (np.float64, 1),
        (bool, 1),
    ],
)
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_array_of_every_type_and_shape(dtype: npt.DTypeLike, full: int, channels: int) -> None:
    unit = RGB / 255 if dtype is not bool else (RGB > 100).astype(float)
    unit = np.dstack([unit, 1 - unit[:, :, 0]])  # the fourth is alpha
    picture = unit[:, :, 0] if channels == 0 else unit[:, :, :channels]
    array = np.rint(picture * full).astype(dtype) if full > 1 else picture.astype(dtype)
    expected = np.moveaxis(unit[:, :, :3], -1, 0) if channels > 1 else as_grey(unit[:, :, 0])
    check(read_image(array), expected, 1e-3 if dtype is np.float16 else 1e-6)
    if array.dtype.isnative:
        tensor = torch.from_numpy(np.moveaxis(array, -1, 0) if channels else array)
        check(read_image(tensor), expected, 1e-3 if dtype is np.float16 else 1e-6)


def test_views_with_odd_strides_are_read() -> None:
    check(read_image(RGB[::-1, ::2]), as_colour(RGB[::-1, ::2]))
    check(read_image(RGB[:, :, ::-1]), as_colour(RGB[:, :, ::-1]))
    check(read_image(torch.from_numpy(RGB).permute(2, 0, 1)), as_colour(RGB))


def test_tensor_that_needs_a_gradient_is_read() -> None:
    check(read_image(torch.from_numpy(UNIT).requires_grad_()), as_grey(UNIT))


def test_the_callers_array_is_left_alone() -> None:
    array = UNIT.copy()
    read_image(array).clone().add_(1)
    np.testing.assert_array_equal(array, UNIT)


def test_first_item_of_a_datasets_tuple_is_the_picture() -> None:
    check(read_image((RGB, 1)), as_colour(RGB))
    check(read_image([Image.fromarray(RGB), "label"]), as_colour(RGB))


def test_function_that_makes_a_picture_is_called() -> None:
    check(read_image(lambda: Image.fromarray(RGB)), as_colour(RGB))


# --- what is refused -----------------------------------------------------------------------------


def encoded(image_format: str, size: int = 64) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format)
    return buffer.getvalue()


def frames(image_format: str) -> bytes:
    buffer = io.BytesIO()
    pages = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 120, 250)]
    pages[0].save(buffer, image_format, save_all=True, append_images=pages[1:])
    return buffer.getvalue()


def overwritten(content: bytes, at: float) -> bytes:
    place = int(at * len(content))
    return content[:place] + b"\xa5" * 40 + content[place + 40 :]


PNG, JPEG = encoded("PNG"), encoded("JPEG")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.png", b"", "empty", id="zero bytes"),
        pytest.param("a.jpg", b"", "empty", id="zero bytes jpeg"),
        pytest.param("a.png", b"\x89", "not a picture", id="one byte"),
        pytest.param("a.png", b"just some text\n" * 9, "not a picture", id="text named png"),
        pytest.param("a.jpg", b"\xff\xd8\xff\xe0" + bytes(200), "", id="jpeg without content"),
        pytest.param("a.png", bytes(5000), "not a picture", id="zeros"),
        pytest.param("a.png", overwritten(PNG, 0.5), "corrupt", id="corrupt png"),
        pytest.param("a.gif", frames("GIF"), "3 frames", id="animated gif"),
        pytest.param("a.png", frames("PNG"), "3 frames", id="animated png"),
        pytest.param("a.webp", frames("WEBP"), "3 frames", id="animated webp"),
        pytest.param("a.tif", frames("TIFF"), "3 frames", id="multi-page tiff"),
        pytest.param("a.png", png_that_claims(60000, 60000), "64,000,000 pixels", id="bomb"),
        pytest.param("a.png", png_that_claims(12000, 12000), "64,000,000 pixels", id="large bomb"),
        pytest.param("a.png", png_that_claims(9000, 9000), "64,000,000 pixels", id="too large"),
        pytest.param("a.png", png_that_claims(0, 5), "", id="no width"),
        pytest.param("a.tif", tiff(UNIT * 300, 3), "float values", id="float tiff above 1"),
        pytest.param("a.tif", tiff(UNIT * np.float32("nan"), 3), "NaN", id="float tiff with NaN"),
        pytest.param("a.tif", tiff(DEEP.astype("<i4") * 2, 2), "0..65535", id="32 bits used"),
        pytest.param("a.tif", tiff(DEEP.astype("<i4") - 1000, 2), "0..65535", id="negative"),
    ],
)
def test_bad_file_is_one_clear_error(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert words in refusal(path)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95])
def test_cut_file_is_refused(tmp_path: Path, image_format: str, share: float) -> None:
    content = encoded(image_format)
    path = tmp_path / f"cut.{image_format.lower()}"
    path.write_bytes(content[: int(share * len(content))])
    refusal(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    content=st.sampled_from(
        [encoded(name, 16) for name in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")]
    ),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=6),
)
def test_damaged_bytes_read_or_raise_image_error_and_nothing_else(
    tmp_path: Path, content: bytes, flips: list[tuple[float, int]]
) -> None:
    damaged = bytearray(content)
    for place, flip in flips:
        damaged[int(place * len(content))] ^= flip
    path = tmp_path / "damaged.png"  # Pillow looks at the content, not the name
    path.write_bytes(damaged)
    with contextlib.suppress(ImageError):
        tensor = read_image(path)
        assert tensor.shape[0] == 3
        assert tensor.isfinite().all()


def test_tiff_whose_next_page_is_nonsense_is_one_clear_error(tmp_path: Path) -> None:
    content = tiff(DEEP, 1)
    after_tags = 8 + 2 + 12 * 10
    path = tmp_path / "a.tif"
    path.write_bytes(
        content[:after_tags]
        + struct.pack("<I", len(content))
        + content[after_tags + 4 :]
        + bytes(6)
    )
    refusal(path)


def test_limit_of_pixels_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "picture.png", Image.fromarray(RGB))
    monkeypatch.setattr(images, "MAX_PIXELS", HEIGHT * WIDTH)
    check(read_image(path), as_colour(RGB))
    monkeypatch.setattr(images, "MAX_PIXELS", HEIGHT * WIDTH - 1)
    assert "more than 239 pixels" in refusal(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(np.zeros((0, 5), np.uint8), "shape (0, 5, 1)", id="empty"),
        pytest.param(np.zeros(5, np.uint8), "shape (5,)", id="1-D"),
        pytest.param(np.zeros((4, 4, 2), np.uint8), "shape (4, 4, 2)", id="two channels"),
        pytest.param(np.zeros((3, 40, 40), np.uint8), "shape (3, 40, 40)", id="channels first"),
        pytest.param(np.zeros((1, 4, 4, 3), np.uint8), "shape (1, 4, 4, 3)", id="4-D"),
        pytest.param(torch.zeros(40, 40, 3), "shape", id="tensor with channels last"),
        pytest.param(np.zeros((4, 4), np.int32), "int32", id="int32"),
        pytest.param(np.zeros((4, 4), np.int64), "int64", id="int64"),
        pytest.param(torch.zeros(3, 4, 4, dtype=torch.int32), "int32", id="int32 tensor"),
        pytest.param(np.zeros((4, 4), np.complex64), "complex64", id="complex"),
        pytest.param(np.full((4, 4), None), "object", id="object"),
        pytest.param(np.full((4, 4), np.nan), "NaN", id="NaN"),
        pytest.param(np.where(np.eye(4) > 0, np.inf, 0.0), "NaN or infinite", id="infinite"),
        pytest.param(RGB.astype(np.float32), "[0, 1]", id="0..255 floats"),
        pytest.param(UNIT - 0.5, "[0, 1]", id="negative floats"),
        pytest.param(torch.full((3, 4, 4), 1.01), "[0, 1]", id="just above one"),
        pytest.param(None, "NoneType", id="None"),
        pytest.param(7, "int", id="a number"),
        pytest.param((), "tuple", id="empty tuple"),
        pytest.param({"image": RGB}, "dict", id="dict"),
    ],
)
def test_bad_content_is_one_clear_error(content: Any, words: str) -> None:
    assert words in refusal(content, "image 3")


def test_bfloat16_tensor_is_read() -> None:
    check(read_image(torch.from_numpy(UNIT).bfloat16()), as_grey(UNIT), 0.01)


def test_cut_pil_image_is_one_clear_error(tmp_path: Path) -> None:
    """Image.open reads the header only; the pixels come when they are asked for."""
    path = tmp_path / "cut.png"
    path.write_bytes(PNG[: len(PNG) // 2])
    with Image.open(path) as image:
        refusal(image, "image 3")


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.png") == "no such file"


def test_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "secret.png", Image.fromarray(RGB))
    opener = os.open

    def refuse(file: Any, *args: Any, **options: Any) -> Any:
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return opener(file, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert refusal(path) == "no permission to read it"


@pytest.mark.skipif(os.name == "nt", reason="has no such files in folders")
def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    """A pipe would be waited for, and a device may have no end."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "itself.png").symlink_to("itself.png")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening, contextlib.chdir(tmp_path):
        listening.bind("socket.png")
    reasons = {path.name: refusal(path) for path in list_images(tmp_path)}
    assert reasons.pop("itself.png") == "Too many levels of symbolic links"
    assert reasons == dict.fromkeys(
        ("device.png", "pipe.png", "socket.png"), "not an ordinary file"
    )


@pytest.mark.parametrize("where", ["in front of the pixels", "behind them"])
@pytest.mark.parametrize("kind", ["compressed", "international", "profile", "many"])
def test_png_with_more_metadata_than_pillow_takes_is_whole(kind: str, where: str) -> None:
    bomb = zlib.compress(bytes(3_000_000))
    chunks = {
        "compressed": [png_chunk(b"zTXt", b"camera\0\0" + bomb)],
        "international": [png_chunk(b"iTXt", b"camera\0\1\0\0\0" + bomb)],
        "profile": [png_chunk(b"iCCP", b"icc\0\0" + bomb)],
        "many": [png_chunk(b"tEXt", b"camera\0" + b"x" * 900_000)] * 80,
    }[kind]
    at = PNG.index(b"IDAT") - 4 if where == "in front of the pixels" else len(PNG) - 12
    heavy = PNG[:at] + b"".join(chunks) + PNG[at:]
    assert torch.equal(read_image(heavy), read_image(PNG))


def test_folder_is_no_picture(tmp_path: Path) -> None:
    folder = tmp_path / "a.png"
    folder.mkdir()
    refusal(folder)


# --- folders and collections ---------------------------------------------------------------------


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def listed(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in list_images(folder)]


def test_folder_is_listed_recursively_and_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a/z.JPG", "a/b/c.tiff", "a.bmp", "c/1.webp", "c/10.gif", "c/2.jpeg")
    names = ["a/b/c.tiff", "a/z.JPG", "a.bmp", "b.png", "c/1.webp", "c/10.gif", "c/2.jpeg"]
    assert listed(tmp_path) == names
    sources = list(image_sources(str(tmp_path)))
    assert [source.name for source in sources] == [str(tmp_path / name) for name in names]


def test_other_files_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", ".hidden.png", "sub/._a.png", "notes.txt", "b.png.txt", "png", "c.raw")
    assert listed(tmp_path) == ["a.png"]


def test_hidden_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", ".thumbnails/a.png", "b/.cache/a.png")
    assert listed(tmp_path) == ["a.png"]


def test_linked_folder_is_followed_but_a_circle_is_not(tmp_path: Path) -> None:
    touch(tmp_path, "here/a.png", "elsewhere/b.png")
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert listed(tmp_path / "here") == ["a.png", "link/b.png"]
    (tmp_path / "here" / "circle").symlink_to(tmp_path / "here", target_is_directory=True)
    assert listed(tmp_path / "here") == ["a.png", "link/b.png"]


@pytest.mark.parametrize("names", [(), ("notes.txt", "sub/data.csv", ".a.png")])
def test_folder_without_pictures_is_an_error(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(DatasetError, match=r"^[^\n]*: no pictures found \(looked for .*\.png") as e:
        image_sources(tmp_path)
    assert str(tmp_path) in str(e.value)


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none: no such folder"):
        list_images(tmp_path / "none")


def test_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder whose lower part is locked must not pass for a smaller one."""
    touch(tmp_path, "a.png", "locked/b.png")
    iterdir = Path.iterdir

    def refuse(folder: Path) -> Iterator[Path]:
        if folder.name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DatasetError, match=r"cannot be listed \(Permission denied\)"):
        list_images(tmp_path)


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """As most torch Datasets: an index gives a picture and a label, and there is no iterator."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        self.asked.append(index)
        return torch.full((3, 4, 6), index / 10), index


@pytest.mark.parametrize(
    ("collection", "names"),
    [
        pytest.param(["x/a.png", Path("b.png")], ["x/a.png", "b.png"], id="paths"),
        pytest.param(np.zeros((2, 4, 4, 3), np.uint8), ["image 0", "image 1"], id="batch"),
        pytest.param(torch.zeros(2, 3, 4, 4), ["image 0", "image 1"], id="tensor batch"),
        pytest.param([RGB, "a.png", Image.fromarray(RGB)], ["image 0", "a.png", "image 2"], id="x"),
        pytest.param((RGB, GREY), ["image 0", "image 1"], id="tuple"),
        pytest.param([ImageSource("mine", RGB)], ["mine"], id="sources"),
        pytest.param([], [], id="nothing"),
        pytest.param(RGB, ["image 0"], id="one array"),
        pytest.param(Image.fromarray(RGB), ["image 0"], id="one PIL image"),
        pytest.param("one.png", ["one.png"], id="one path"),
    ],
)
def test_sources_are_named_and_counted(collection: Any, names: list[str]) -> None:
    sources = image_sources(collection)
    assert [source.name for source in sources] == names
    assert len(sources) == len(names)  # type: ignore[arg-type]


def test_dataset_is_read_item_by_item() -> None:
    dataset = Pictures()
    sources = image_sources(dataset)
    assert len(sources) == 5  # type: ignore[arg-type]
    assert dataset.asked == []
    values = [read_image(source.content)[0, 0, 0].item() for source in sources]
    assert values == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert dataset.asked == [0, 1, 2, 3, 4]


def test_generator_is_not_run_ahead() -> None:
    made: list[int] = []

    def pictures() -> Iterator[Array]:
        for index in range(3):
            made.append(index)
            yield RGB

    sources = iter(image_sources(pictures()))
    assert made == []
    assert next(sources).name == "image 0"
    assert made == [0]


@pytest.mark.parametrize("thing", [5, None, 2.5])
def test_what_is_no_collection_is_a_usage_error(thing: Any) -> None:
    with pytest.raises(UsageError, match=f"cannot read images from a {type(thing).__name__}"):
        image_sources(thing)


def test_a_masked_array_is_no_image() -> None:
    masked = np.ma.masked_greater(RGB, 100)
    with pytest.raises(ImageError, match="a masked array is no image"):
        decode_image(masked, "masked")


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3, 4, 4)])
def test_array_of_other_dimensions_is_a_usage_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"is no image; expected \(H, W\)"):
        image_sources(np.zeros(shape))


def test_single_images_are_told_from_collections(tmp_path: Path) -> None:
    singles = [RGB, GREY, torch.zeros(3, 4, 4), Image.fromarray(RGB), "a.png", tmp_path / "a.png"]
    many = [[RGB], np.zeros((2, 4, 4, 3)), torch.zeros(1, 3, 4, 4), str(tmp_path), tmp_path, ()]
    assert [is_single_image(item) for item in singles] == [True] * len(singles)
    assert [is_single_image(item) for item in many] == [False] * len(many)


# --- reading ahead -------------------------------------------------------------------------------


class Slow:
    """Sources that note what was pulled and what was read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pulled: list[int] = []
        self.read: list[int] = []

    def __iter__(self) -> Iterator[ImageSource]:
        for index in range(self.count):
            self.pulled.append(index)
            yield ImageSource(str(index), lambda index=index: self.picture(index))

    def picture(self, index: int) -> Array:
        self.read.append(index)
        return np.full((4, 6), index, np.uint8)


def level(picture: Picture) -> int:
    return round(to_unit(picture.image)[0, 0, 0].item() * 255)


def test_prefetch_keeps_the_order_and_gives_name_size_and_content() -> None:
    results = list(prefetch(Slow(40), level, fail_unreadable))
    assert [source.name for source, *_ in results] == [str(index) for index in range(40)]
    assert [content for _, _, content, _ in results] == list(range(40))
    assert {size for _, size, *_ in results} == {(4, 6)}


def test_prefetch_reads_only_a_few_ahead() -> None:
    slow = Slow(100)
    stream = prefetch(slow, level, fail_unreadable)
    assert slow.pulled == []
    for taken in range(1, 4):
        next(stream)
        assert len(slow.pulled) <= READ_AHEAD + taken
        assert len(slow.read) <= READ_AHEAD + taken


def test_prefetch_hands_unreadable_pictures_over_and_goes_on() -> None:
    bad: list[ImageError] = []
    sources = [
        ImageSource(str(index), None if index % 3 == 0 else np.full((2, 2), index, np.uint8))
        for index in range(30)
    ]
    results = list(prefetch(sources, level, bad.append))
    assert [content for _, _, content, _ in results] == [i for i in range(30) if i % 3]
    assert [error.name for error in bad] == [str(i) for i in range(0, 30, 3)]


def test_prefetch_of_nothing_gives_nothing() -> None:
    assert list(prefetch([], level, fail_unreadable)) == []


def test_prefetch_stops_when_the_handler_raises() -> None:
    sources = [ImageSource("good", RGB), ImageSource("bad", None), ImageSource("later", RGB)]
    stream = prefetch(sources, level, fail_unreadable)
    assert next(stream)[0].name == "good"
    with pytest.raises(ImageError, match="bad: a NoneType is no image"):
        next(stream)


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_prefetch_stops_cleanly_when_the_consumer_breaks_off(taken: int) -> None:
    before = threading.active_count()
    slow = Slow(1000)
    stream = prefetch(slow, level, fail_unreadable)
    for _ in range(taken):
        next(stream)
    assert isinstance(stream, Iterator)
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(slow.read) <= READ_AHEAD + taken
    assert list(stream) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("of any\nkind"), "RuntimeError: of any kind"),
     (MemoryError(), "too little memory for it")],
)  # fmt: skip
def test_any_error_of_one_picture_is_its_own(error: Exception, reason: str) -> None:
    def fragile(picture: Picture) -> int:
        if picture.image.max() == 3:
            raise error
        return int(picture.image.max())

    class Fragile(Dataset[Array]):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Array:
            if index == 7:
                raise error
            return np.full((4, 6), index, np.uint8)

    before = threading.active_count()
    failed: list[ImageError] = []
    found = [value for _, _, value, _ in prefetch(image_sources(Fragile()), fragile, failed.append)]
    assert found == [index for index in range(20) if index not in (3, 7)]
    assert [str(one) for one in failed] == [f"image 3: {reason}", f"image 7: {reason}"]
    assert threading.active_count() == before


def test_skipping_warns_with_the_name() -> None:
    with pytest.warns(UnreadableImageWarning, match=r"^skipped a\.png: cut$"):
        warn_unreadable(ImageError("a.png", "cut"))


# --- decoding at a fraction ----------------------------------------------------------------------


def photograph(folder: Path, width: int, height: int, **options: Any) -> Path:
    ramp = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
    path = folder / "photograph.jpg"
    Image.fromarray(ramp.astype(np.uint8)).save(path, quality=95, **options)
    return path


@pytest.mark.parametrize(
    ("min_decode_side", "side"),
    [(None, 800), (500, 800), (400, 400), (300, 400), (200, 200), (20, 100)],
)
def test_large_jpegs_are_decoded_no_smaller_than_enough(
    tmp_path: Path, min_decode_side: int | None, side: int
) -> None:
    path = photograph(tmp_path, 1600, 800)
    picture, size, *_ = decode_reduced(path, "photograph", min_decode_side)
    assert size == (800, 1600)
    assert picture.shape == (3, side, 2 * side)
    whole = torch.nn.functional.interpolate(
        decode_image(path)[None].float(), size=(side, 2 * side), mode="area"
    )[0]
    assert float((picture.float() - whole).abs().max()) <= 4  # grey levels of 255


def test_a_turned_photographs_size_is_that_of_the_upright_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = photograph(tmp_path, 1600, 800, exif=exif)
    picture, size, *_ = decode_reduced(path, "photograph", 200)
    assert size == (1600, 800)
    assert picture.shape == (3, 400, 200)


@pytest.mark.parametrize("kind", ["png", "array"])
def test_nothing_else_is_reduced(tmp_path: Path, kind: str) -> None:
    array = np.zeros((800, 1600, 3), np.uint8)
    Image.fromarray(array).save(tmp_path / "whole.png")
    content = array if kind == "array" else tmp_path / "whole.png"
    picture, size, *_ = decode_reduced(content, "picture", 100)
    assert picture.shape == (3, 800, 1600)
    assert size == (800, 1600)


def test_listing_a_dataset_reads_none_of_it() -> None:
    """Ten thousand pictures must not be in memory at once because they are counted."""
    read: list[int] = []

    class Dataset:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> np.ndarray:
            read.append(index)
            return np.zeros((4, 4), np.uint8)

    sources = listed_sources(Dataset())
    assert len(sources) == 3
    assert read == []
    assert [source.name for source in sources] == ["image 0", "image 1", "image 2"]
    assert len(listed_sources(iter([np.zeros((4, 4), np.uint8)] * 2))) == 2


def test_line_scans_are_read_where_more_pixels_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", HEIGHT * WIDTH - 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 3)  # Pillow's own bomb
    path = save(tmp_path / "scan.png", Image.fromarray(RGB))
    assert "more than 239 pixels" in refusal(path)
    with images.allowing(HEIGHT * WIDTH):
        check(read_image(path), as_colour(RGB))
        assert os.environ[images.PIXELS_VARIABLE] == str(HEIGHT * WIDTH)  # of processes below
    assert images.PIXELS_VARIABLE not in os.environ


@pytest.mark.parametrize("given", ["", "0", "-1", "many", "1e9"])
def test_a_limit_that_is_no_number_is_a_usage_error(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "picture.png", Image.fromarray(RGB))
    monkeypatch.setenv(images.PIXELS_VARIABLE, given)
    with pytest.raises(UsageError, match="takes a number of pixels"):
        decode_image(path)
    with pytest.raises(UsageError, match="takes a number of pixels"), images.allowing(None):
        pass


def test_what_softpatch_drew_or_put_away_is_no_picture(tmp_path: Path) -> None:
    save(tmp_path / "a.png", Image.fromarray(RGB))
    for name in ("heatmaps/a.png", "copied.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png_bytes(Image.fromarray(RGB)))
    save(tmp_path / "heatmaps" / "own.png", Image.fromarray(RGB))
    away = tmp_path / "away"
    away.mkdir()
    save(away / "b.png", Image.fromarray(RGB))
    assert len(list_images(tmp_path)) == 3
    (away / "softpatch-quarantine.json").write_text("{}")
    assert list_images(tmp_path) == [tmp_path / "a.png", tmp_path / "heatmaps" / "own.png"]
    assert list_images(away) == [away / "b.png"]  # when it is asked for by its name
