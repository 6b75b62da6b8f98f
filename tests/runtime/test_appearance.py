"""What pictures look like, and which of them nobody can judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from softpatch.errors import ImageError, UnusableImageError
from softpatch.runtime.appearance import AREA, WINDOW, Appearance, UsualAppearance, blur_effect

Levels = npt.NDArray[np.uint8]


def part(seed: int, background: int = 60, height: int = 96, width: int = 128) -> Levels:
    """``(H, W, 3)``: a bright disc with rings on a background, and noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height / 2 - random.normal(), columns - width / 2 - random.normal())
    rings = 170 + 40 * np.sin(distance)
    values = np.where(distance < 0.4 * height, rings, background)[:, :, None] * [1, 0.95, 0.8]
    return (values + random.normal(0, 3, values.shape)).clip(0, 255).astype(np.uint8)


def seen(values: npt.NDArray[Any], *, deep: bool = False) -> Appearance:
    return Appearance.of(values, values.shape[:2], deep)


@pytest.fixture(scope="module")
def usual() -> UsualAppearance:
    return UsualAppearance.of([seen(part(seed)) for seed in range(12)])


def slow_blur_effect(grey: npt.NDArray[np.float64]) -> float:
    """As the paper writes it, pixel by pixel."""
    height, width = grey.shape
    reach = WINDOW // 2
    blurred = np.zeros_like(grey)
    for row in range(height):
        for column in range(width):
            window = [
                grey[min(max(row + step, 0), height - 1), column]
                for step in range(-reach, reach + 1)
            ]
            blurred[row, column] = sum(window) / WINDOW
    of_all = of_taken = 0.0
    for row in range(1, height):
        for column in range(width):
            before = abs(grey[row, column] - grey[row - 1, column])
            after = abs(blurred[row, column] - blurred[row - 1, column])
            of_all += before
            of_taken += max(0.0, before - after)
    return (of_all - of_taken) / of_all


@given(st.integers(0, 10_000), st.integers(2, 20), st.integers(1, 12))
def test_the_blur_effect_is_the_paper_s(seed: int, height: int, width: int) -> None:
    grey = np.random.default_rng(seed).random((height, width))
    expected = slow_blur_effect(grey)
    assert blur_effect(grey.astype(np.float32)) == pytest.approx(expected, abs=1e-4)


@given(st.integers(0, 10_000), st.floats(0.1, 1), st.floats(0, 0.5))
def test_the_blur_effect_depends_on_neither_brightness_nor_contrast(
    seed: int, contrast: float, brightness: float
) -> None:
    grey = np.random.default_rng(seed).random((20, 15), np.float32)
    changed = (grey * contrast + brightness).astype(np.float32)
    assert blur_effect(changed) == pytest.approx(blur_effect(grey), abs=1e-3)


def test_a_wider_blur_has_a_larger_effect_up_to_1() -> None:
    picture = Image.fromarray(part(0))
    effects = [
        seen(np.asarray(picture.filter(ImageFilter.GaussianBlur(sigma)))).blur
        for sigma in (0, 1, 2, 4)
    ]
    assert effects == sorted(effects)
    assert 0 < effects[0] < effects[-1] < 1
    assert blur_effect(np.full((9, 9), 0.5, np.float32)) == 1


def test_measurements_are_what_they_are_called() -> None:
    values = np.zeros((64, 32, 3), np.uint8)
    values[:16] = 255  # rows 0 to 15 are white, the others black but for a spot of red
    values[40:44, 8:12, 0] = 200
    found = Appearance.of(values, (640, 320), deep=True)
    assert (found.height, found.width, found.shape, found.deep) == (640, 320, 2, 1)
    assert (found.brightest, found.darkest, found.white) == (1, 0, 0.25)
    assert (found.flat, found.edge) == (20 / 64, 0)  # the black rows from below, up to the spot
    assert found.colour == pytest.approx(16 * 200 / 255 / (64 * 32))


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 100))
def test_any_picture_has_finite_measurements(h: int, w: int, channels: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 256, (h, w, channels), np.uint8)
    of_levels = seen(values)
    of_floats = seen(values / np.float32(255))
    assert of_levels == of_floats
    assert np.isfinite(of_levels).all()
    assert all(0 <= one <= 1 for one in of_levels[3:-1])
    assert of_levels.edge == -1 if of_levels.flat == 0 else 0 <= of_levels.edge <= 1


def test_large_pictures_are_looked_at_as_small_ones() -> None:
    small = part(1, height=240, width=320)
    large = np.kron(small, np.ones((4, 4, 1), np.uint8))
    assert large.shape[0] * large.shape[1] > AREA
    found, expected = seen(large), seen(small)
    for one, other in zip(found[2:], expected[2:], strict=True):
        assert one == pytest.approx(other, abs=0.03)


@pytest.mark.parametrize(("pictures", "black"), [(4, 1), (38, 1), (77, 2)])
def test_one_picture_of_forty_does_not_say_what_is_usual(pictures: int, black: int) -> None:
    good = [seen(part(seed)) for seed in range(pictures)]
    shown = seen(np.zeros((96, 128, 3), np.uint8))
    assert UsualAppearance.of([*good, *[shown] * black]).why_unusable(shown) is not None
    assert UsualAppearance.of([*good, *[shown] * (black + 1)]).why_unusable(shown) is None


def test_what_lies_outside_the_window_does_not_count(usual: UsualAppearance) -> None:
    framed = np.full((192, 256, 3), 255, np.uint8)
    framed[48:144, 64:192] = part(0)
    window = (0.25, 0.25, 0.75, 0.75)
    inside = Appearance.of(framed, (96, 128), False, window)
    assert inside == seen(part(0))
    assert usual.why_unusable(seen(framed)) is not None


def test_a_tray_with_an_empty_place_is_judged() -> None:
    """Its ground is flat by itself, so that more of it is no cut; another grey there is."""
    trays = [np.hstack([part(seed, 0), part(seed + 9, 0)]) for seed in range(8)]
    trays = [np.where(tray < 20, 0, tray).astype(np.uint8) for tray in trays]
    for tray in trays:
        tray[:, -8:] = 0
    usual = UsualAppearance.of([seen(tray) for tray in trays])
    empty = trays[0].copy()
    empty[:, 128:] = 0
    assert seen(empty).flat > usual.high.flat + 0.3
    assert usual.check("a", seen(empty)) is None
    empty[:, 128:] = 128
    assert str(usual.why_unusable(seen(empty))).startswith("is cut")


def test_what_is_usual_among_either_is_usual_among_both(usual: UsualAppearance) -> None:
    dark_field = UsualAppearance.of([seen(part(seed, background=0)) for seed in range(3)])
    both = usual.joined(dark_field)
    assert both == dark_field.joined(usual)
    for low, high, *others in zip(both.low, both.high, *usual, *dark_field, strict=True):
        assert (low, high) == (min(others), max(others))


def test_a_header_keeps_it(usual: UsualAppearance) -> None:
    assert UsualAppearance.from_header(usual.to_header()) == usual


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        [[1.0]],
        [[1.0] * 10],
        [[1.0] * 10] * 3,
        [["a"] * 10] * 2,
        [[float("inf")] * 10] * 2,
    ],
)
def test_other_headers_are_refused(damaged: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        UsualAppearance.from_header(damaged)


def noise(mean: float) -> Levels:
    values = np.random.default_rng(9).normal(mean, 2, (96, 128, 3))
    return values.clip(0, 255).astype(np.uint8)


def blurred(values: Levels, sigma: float = 4) -> Levels:
    return np.asarray(Image.fromarray(values).filter(ImageFilter.GaussianBlur(sigma)))


def without_end(values: Levels, colour: int, from_row: int = 70) -> Levels:
    left = values.copy()
    left[from_row:] = colour
    return left


UNUSABLE: dict[str, tuple[Callable[[Levels], Levels], str]] = {
    "a lens with its cap on": (lambda _: noise(4), "is black: its brightest place has 2% of white"),
    "too little light": (lambda values: values // 8, "is black"),
    "a white frame": (lambda _: noise(252), "is blown out: its darkest place has 98% of white"),
    "too much light": (lambda values: values.clip(0, 28) * 7 + noise(50), "is blown out"),
    "out of focus": (blurred, "is blurred"),
    "nothing sent": (lambda values: np.full_like(values, 128), "shows one even colour"),
    "grey at the end": (lambda values: without_end(values, 128), "is cut: 27% of it"),
    "black at the end": (lambda values: without_end(values, 0), "is cut: 27% of it"),
    "turned and cut": (lambda values: np.rot90(without_end(values, 0)), "is cut: 27% of it"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_pictures_that_show_no_part_cannot_be_judged(kind: str, usual: UsualAppearance) -> None:
    spoil, words = UNUSABLE[kind]
    spoiled = seen(spoil(part(100)))
    with pytest.raises(UnusableImageError, match="take it again") as raised:
        usual.check("a.png", spoiled)
    assert isinstance(raised.value, ImageError)
    assert raised.value.reason.startswith(words)
    assert str(usual.remark("a.png", spoiled)).startswith(words)


def scratched(values: Levels) -> Levels:
    worse = values.copy()
    worse[20:70, 60:66] = 255
    return worse


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values,
        scratched,
        lambda values: values // 2,
        lambda values: (values.astype(np.int64) + 60).clip(0, 255).astype(np.uint8),
        lambda values: blurred(values, 0.7),
        lambda values: without_end(values, 0, from_row=88),  # a twelfth
        lambda values: np.where(values > 100, 0, values),  # no part at all
    ],
)
def test_good_and_defective_parts_are_judged(
    change: Callable[[Levels], Levels], usual: UsualAppearance
) -> None:
    assert usual.check("a.png", seen(change(part(101)))) is None


def test_dark_fields_and_white_backgrounds_are_as_they_should_be() -> None:
    for background in (0, 255):
        pictures = [seen(part(seed, background)) for seed in range(8)]
        assert UsualAppearance.of(pictures[:5]).check("a", pictures[-1]) is None


def test_pictures_of_another_kind_are_odd(usual: UsualAppearance) -> None:
    values = part(103)
    tall, small = values[:, :80], values[::2, ::2]
    assert usual.check("a", seen(tall)) == (
        "has 80 x 96 pixels, and training pictures have 128 x 96 pixels: another shape"
    )
    assert usual.check("a", seen(small)) == (
        "has 64 x 48 pixels, and training pictures have 128 x 96 pixels: another size"
    )
    turned = usual.check("a", seen(np.rot90(values)))
    assert turned is not None
    assert turned.endswith("another shape")
    assert usual.check("a", seen(values[:, :, :1])) == (
        "is grey, and training pictures have colours"
    )
    assert usual.check("a", seen(values // 2, deep=True)) == (
        "has more than 8 bits, and training pictures have 8: 65535 is taken for white"
    )
    assert usual.check("a", seen(values, deep=True)) is None
    of_greys = UsualAppearance.of([seen(part(seed)[:, :, :1]) for seed in range(5)])
    assert of_greys.check("a", seen(values)) == "has colours, and training pictures are grey"
    assert of_greys.check("a", seen(values[:, :, [1, 1, 1]])) is None  # greys stored as colours


def test_several_oddities_are_all_said(usual: UsualAppearance) -> None:
    said = usual.check("a", seen(part(104)[:, :80, :1] // 2, deep=True))
    assert said is not None
    assert said.count("; ") == 2


def test_sizes_between_those_of_training_pictures_are_usual() -> None:
    sizes = [seen(part(seed, height=64 * (1 + seed), width=80 * (1 + seed))) for seed in range(3)]
    usual = UsualAppearance.of(sizes)
    assert usual.why_odd(seen(part(9, height=128, width=160))) is None
    assert "64 pixels to 240 x 192" not in str(usual.why_odd(seen(part(9, height=400, width=500))))
    assert "80 x 64 to 240 x 192 pixels" in str(usual.why_odd(seen(part(9, height=400, width=500))))


def test_a_deeper_picture_that_is_black_for_it_is_to_be_saved_otherwise(
    usual: UsualAppearance,
) -> None:
    twelve_bits_in_16 = (part(105) / np.float32(255) * 4095 / 65535).astype(np.float32)
    with pytest.raises(UnusableImageError, match=r"is black.*have 8 bits: save it so"):
        usual.check("a.png", seen(twelve_bits_in_16, deep=True))
