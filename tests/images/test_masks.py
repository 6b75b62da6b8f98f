"""One reader of masks: whatever program painted them, the same pixels are marked."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from softpatch.datasets import Category, Sample, read_mask, require_marks
from softpatch.datasets.check import find_problems
from softpatch.errors import DatasetError, ImageError, UsageError
from softpatch.images.masks import OddMaskWarning, read_marks
from softpatch.images.roi import RegionOfInterest

MARKED = np.zeros((12, 16), dtype=bool)
MARKED[3:7, 5:12] = True
SECOND = np.zeros_like(MARKED)  # of another class
SECOND[9:11, 2:4] = True
BOTH = MARKED | SECOND
WHITE = np.full(MARKED.shape, 255, np.uint8)
BLACK = np.zeros_like(WHITE)
VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128),
       (0, 128, 128), (128, 128, 128), (64, 0, 0)]  # fmt: skip


def grey(
    first: int, second: int | None = None, dtype: npt.DTypeLike = np.uint8
) -> npt.NDArray[Any]:
    pixels = np.zeros(MARKED.shape, dtype)
    pixels[MARKED] = first
    pixels[SECOND] = first if second is None else second
    return pixels


def palette(first: int, second: int, colours: list[tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(grey(first, second))
    image = image.convert("L")
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def colour(*classes: tuple[int, int, int]) -> npt.NDArray[Any]:
    pixels = np.zeros((*MARKED.shape, 3), np.uint8)
    pixels[MARKED], pixels[SECOND] = classes
    return pixels


def layer(paint: npt.NDArray[Any], alpha: npt.NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.dstack([paint, alpha]))


def one_transparent() -> Image.Image:
    image = palette(1, 2, [(255, 255, 255), (255, 255, 255), (0, 0, 0)])
    image.info["transparency"] = 0
    return image


MASKS: dict[str, Callable[[], Any]] = {
    "white": lambda: grey(255),
    "one bit": lambda: BOTH,
    "0 and 1": lambda: grey(1),
    "numbers of classes": lambda: grey(1, 7),
    "numbers on both sides of one half": lambda: grey(50, 200),
    "the smaller class is the darker": lambda: grey(200, 50),
    "a number beside white": lambda: grey(255, 1),
    "16 bits, numbers on both sides": lambda: grey(300, 50_000, np.uint16),
    "32 bits, numbers on both sides": lambda: grey(2, 200, np.int32),
    "classes as grey in three channels": lambda: colour((50,) * 3, (200,) * 3),
    "dark grey": lambda: grey(80, 100),
    "16 bits": lambda: grey(65535, dtype=np.uint16),
    "16 bits, numbers": lambda: grey(1, 300, np.uint16),
    "32 bits, numbers": lambda: grey(1, 70_000, np.int32),
    "float, 0 and 1": lambda: grey(1, dtype=np.float32),
    "float, 0 to 255": lambda: grey(255, dtype=np.float32),
    "red": lambda: colour((255, 0, 0), (200, 0, 0)),
    "green": lambda: colour((0, 255, 0), (0, 128, 0)),
    "blue": lambda: colour((61, 61, 245), (0, 0, 255)),
    "a dark class beside a bright one": lambda: colour((255, 255, 255), (64, 0, 0)),
    "palette of VOC": lambda: palette(1, 2, VOC),
    "palette of VOC, blue and dark": lambda: palette(4, 8, VOC),
    "palette that is black": lambda: palette(1, 2, [(0, 0, 0)] * 3),
    "palette with a transparent background": one_transparent,
    "white layer": lambda: layer(np.dstack([WHITE] * 3), grey(255)),
    "black layer": lambda: layer(np.dstack([BLACK] * 3), grey(255)),
    "red layer, half transparent": lambda: layer(np.dstack([WHITE, BLACK, BLACK]), grey(100)),
    "layer over a photograph": lambda: layer(
        np.random.default_rng(0).integers(0, 256, (*MARKED.shape, 3)).astype(np.uint8), grey(255)
    ),
    "grey and alpha": lambda: layer(WHITE, grey(255)),
    "opaque": lambda: layer(colour((255, 255, 255), (255, 255, 255)), WHITE),
    "wholly transparent": lambda: layer(colour((255, 255, 255), (0, 255, 0)), BLACK),
}


def saved(folder: Path, mask: Any) -> Path:
    image = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
    path = folder / ("mask.tif" if image.mode in "IF" else "mask.png")
    image.save(path)
    return path


@pytest.mark.parametrize("kind", MASKS)
def test_every_kind_of_mask_marks_the_same(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path, MASKS[kind]())
    np.testing.assert_array_equal(read_marks(path, str(path)), BOTH)
    np.testing.assert_array_equal(read_marks(path.read_bytes(), "mask"), BOTH)
    sample = Sample(Path("picture.png"), "crack", (path,))
    np.testing.assert_array_equal(read_mask(sample, BOTH.shape), BOTH)
    region = RegionOfInterest(path)
    np.testing.assert_array_equal(region.mask.numpy(), BOTH)


@pytest.mark.parametrize("kind", [kind for kind in MASKS if "palette" not in kind])
def test_arrays_and_tensors_mark_what_files_do(kind: str) -> None:
    mask = MASKS[kind]()
    array = np.asarray(mask)
    np.testing.assert_array_equal(read_marks(array, "mask"), BOTH)
    if array.ndim == 2 or array.shape[2] != 2:
        tensor = torch.from_numpy(array.copy() if array.dtype != np.uint16 else array.astype(int))
        tensor = tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor
        if array.dtype != np.uint16:
            np.testing.assert_array_equal(read_marks(tensor, "mask"), BOTH)


def test_soft_edges_are_cut_at_one_half() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    for mask in (ramp, np.dstack([ramp] * 3), ramp.astype(np.uint16) * 257):
        np.testing.assert_array_equal(read_marks(mask, "mask"), ramp > 127)


def test_classes_that_touch_all_mark() -> None:
    for levels in ((50, 200), (100, 128, 255), (10, 100, 130, 250), tuple(range(20, 220, 20))):
        mask = np.zeros((12, 20 * len(levels) + 10), np.uint8)
        for place, level in enumerate(levels):
            mask[2:10, 5 + 20 * place :][:, :20] = level
        np.testing.assert_array_equal(read_marks(mask, "mask"), mask > 0)


@pytest.mark.parametrize("size", [40, 160, 320, 640])
@pytest.mark.parametrize("how", ["BOX", "BILINEAR", "BICUBIC"])
def test_edges_of_white_that_was_resized_do_not_widen_it(size: int, how: str) -> None:
    rectangle, disc = np.zeros((160, 160), np.uint8), Image.new("L", (160, 160))
    rectangle[43:87, 21:98] = 255
    ImageDraw.Draw(disc).ellipse((33, 47, 120, 99), fill=255)
    for mask in (Image.fromarray(rectangle), disc):
        small = np.asarray(mask.resize((size, size), Image.Resampling[how]))
        np.testing.assert_array_equal(read_marks(small, "mask"), small > 127)


@pytest.mark.parametrize("blur", [0.5, 1, 2, 5])
def test_nor_do_blur_and_jpeg(blur: float) -> None:
    disc = Image.new("L", (160, 160))
    ImageDraw.Draw(disc).ellipse((33, 47, 120, 99), fill=255)
    blurred, file = disc.filter(ImageFilter.GaussianBlur(blur)), io.BytesIO()
    disc.save(file, "JPEG", quality=75)
    for mask in (np.asarray(blurred), np.asarray(Image.open(file))):
        np.testing.assert_array_equal(read_marks(mask, "mask"), mask > 127)


def test_sets_that_store_numbers_mark_whatever_is_not_0() -> None:
    np.testing.assert_array_equal(read_marks(grey(3, 255), "mask", threshold=0), BOTH)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_a_blank_mask_marks_nothing(mode: str, tmp_path: Path) -> None:
    blank = Image.new(mode, (6, 5))
    path = saved(tmp_path, blank)
    assert not read_marks(path, str(path)).any()
    with pytest.raises(UsageError, match="black all over"):
        RegionOfInterest(path)


def test_what_is_no_mask_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    for bad in (
        tmp_path / "a.png",
        b"",
        np.zeros((2, 3, 5)),
        np.full((2, 2), np.nan),
        "none.png",
        3,
    ):
        with pytest.raises(ImageError):
            read_marks(bad, "mask")


def test_a_region_that_is_everything_is_told() -> None:
    with pytest.warns(OddMaskWarning, match="marks everything"):
        RegionOfInterest(WHITE)


def category(folder: Path, mask: npt.NDArray[Any]) -> Category:
    """A category with one defective picture, and its mask."""
    for name, pixels in (("picture.png", WHITE), ("mask.png", mask)):
        Image.fromarray(pixels).save(folder / name)
    defect = Sample(folder / "picture.png", "crack", (folder / "mask.png",))
    return Category("part", folder, (), (defect,))


def test_a_mask_of_a_defect_that_marks_nothing_stops_what_measures(tmp_path: Path) -> None:
    bad = category(tmp_path, BLACK)
    with pytest.raises(
        DatasetError, match=r"1 mask\(s\) .* mark no pixel: mask.png; .*--allow-empty"
    ):
        require_marks(bad)
    with pytest.warns(OddMaskWarning, match="mark no pixel"):
        require_marks(bad, allow_empty=True)
    assert any("mark no pixel" in line for line in find_problems(bad))


def test_what_stops_is_what_datasets_finds(tmp_path: Path) -> None:
    """One of two masks may mark nothing; one that cannot be read may mark something, but stops."""
    [defect] = category(tmp_path, BLACK).defects
    Image.fromarray(WHITE * (np.arange(16) < 3)).save(tmp_path / "some.png")
    (tmp_path / "broken.png").write_text("no mask")
    fine, broken = (
        Category("part", tmp_path, (), (replace(defect, masks=(*defect.masks, tmp_path / beside)),))
        for beside in ("some.png", "broken.png")
    )
    require_marks(fine)
    with pytest.raises(ImageError, match=r"broken\.png: not a picture"):
        require_marks(broken)
    for one in (fine, broken):
        assert not any("no pixel" in line for line in find_problems(one))


def test_one_of_many_masks_that_marks_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "good").mkdir()
    empty = category(tmp_path / "bad", BLACK)
    some = np.zeros_like(BLACK)
    some[:2] = 255
    [marked] = category(tmp_path / "good", some).defects
    many = Category("part", tmp_path, (), (*empty.defects, *[marked] * 49))
    with pytest.warns(OddMaskWarning, match=r"1 mask\(s\) of defective pictures mark no pixel"):
        require_marks(many)
    with pytest.raises(DatasetError, match="--allow-empty-masks"):
        require_marks(Category("part", tmp_path, (), many.test[:-1]))


def test_a_mask_that_marks_everything_is_told(tmp_path: Path) -> None:
    odd = category(tmp_path, WHITE)
    with pytest.warns(OddMaskWarning, match=r"part: 1 mask\(s\) mark every pixel: mask.png"):
        require_marks(odd)
    assert any("mark every pixel" in line for line in find_problems(odd))
