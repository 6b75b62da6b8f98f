"""What a whole picture looks like, and whether it looks as those do that a model was fitted on.

No score means anything of a picture that is black, blown out, blurred or cut: it shows no part. Of
one of another shape or size, or without the colours that the others have, a score means less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from .errors import UnusableImageError

AREA = 320 * 320  # pixels at which a picture is looked at, about as many as a network sees
PLACES = 16  # along the shorter side, of which one is the brightest and one the darkest
WHITE = 0.98
FLAT = 2 / 255  # range of a row of pixels that shows nothing
WINDOW = 11  # pixels, see ``blur_effect``

# How far beyond training pictures a picture must be. No good and no bad test picture of bottle,
# tile, screws, strips, small bottles and turned line is, even after 5 training pictures; of solar
# cells, dead ones are. `python -m benchmarks.unusable` has the table.
ENOUGH = 5  # training pictures; fewer do not show what is usual
OUTER = 40  # one training picture in so many, at either end, does not say what is usual
BLACK = 1 / 4  # of the brightest place
BLOWN = 1 / 4  # of what is left to 1
BLURRED = 2 / 5  # likewise; a quarter took twice as many dead solar cells for blurred
CUT = 1 / 8  # likewise
ANOTHER_GREY = 0.05  # what is cut off is of another grey than backgrounds that are flat
RESHAPED = 1.1  # ratio of two shapes, height over width
RESIZED = 1.5  # ratio of two lengths
HALF = 0.5  # of white
GREY, COLOURED = 0.002, 0.02  # see ``Appearance.colour``


# Left, top, right and bottom of a part of a picture, as shares of its sides.
Window = tuple[float, float, float, float]
WHOLE: Window = (0.0, 0.0, 1.0, 1.0)


class Appearance(NamedTuple):
    """Measurements of one picture.

    Attributes:
        height, width: pixels.
        shape: height over width.
        deep: 1 if its values have more than 8 bits, else 0.
        colour: mean difference of the largest and the smallest of a pixel's channels, 0 to 1.
        brightest, darkest: mean grey of the brightest and the darkest place, 0 to 1.
        white: share of the pixels that are white.
        blur: the larger ``blur_effect`` of both directions.
        flat: share of the rows or columns, from one edge on, that show one grey alone.
        edge: that grey, 0 to 1; -1 where there is none.
    """

    height: float
    width: float
    shape: float
    deep: float
    colour: float
    brightest: float
    darkest: float
    white: float
    blur: float
    flat: float
    edge: float

    @classmethod
    def of(
        cls,
        values: npt.NDArray[Any],
        size: tuple[int, int],
        deep: bool,
        window: Window = WHOLE,
    ) -> Self:
        """Of ``(H, W, 1|3)`` uint8, or float in [0, 1], and the (height, width) in the file.

        What lies outside the window does not count.
        """
        small = _reduced(_within(values, window))
        grey = np.asarray(small.convert("L"), dtype=np.float32) / np.float32(255)
        places = _places(grey)
        flat, edge = max(_flat_edge(side) for side in (grey, grey[::-1], grey.T, grey.T[::-1]))
        return cls(
            float(size[0]),
            float(size[1]),
            size[0] / size[1],
            float(deep),
            _colour(small),
            float(places.max()),
            float(places.min()),
            float((grey >= WHITE).mean()),
            max(blur_effect(grey), blur_effect(grey.T)),
            flat,
            edge,
        )


class UsualAppearance(NamedTuple):
    """Between which measurements nearly all training pictures lie."""

    low: Appearance
    high: Appearance

    @classmethod
    def of(cls, pictures: Sequence[Appearance]) -> Self:
        """Of one picture at least; of ``ENOUGH``, a few may look as none should."""
        values = np.sort(np.array(pictures), axis=0)
        outer = -(-len(values) // OUTER) if len(values) >= ENOUGH else 0
        low, high = values[outer], values[len(values) - 1 - outer]
        return cls(Appearance(*low.tolist()), Appearance(*high.tolist()))

    def joined(self, others: UsualAppearance) -> UsualAppearance:
        """What is usual among these or among others."""
        return UsualAppearance(
            Appearance(*map(min, self.low, others.low)),
            Appearance(*map(max, self.high, others.high)),
        )

    def to_header(self) -> list[list[float]]:
        """As model files and exports keep it."""
        return [list(self.low), list(self.high)]

    @classmethod
    def from_header(cls, kept: list[list[float]]) -> Self:
        """What ``to_header`` gave; TypeError or ValueError if it did not."""
        low, high = (Appearance(*map(float, one)) for one in kept)
        if not all(map(math.isfinite, (*low, *high))):
            raise ValueError("the appearance holds numbers that no picture has")
        return cls(low, high)

    def check(self, name: str, picture: Appearance) -> str | None:
        """What is odd about a picture; None if nothing is.

        Raises:
            UnusableImageError: it cannot be judged.
        """
        if reason := self.why_unusable(picture):
            raise UnusableImageError(name, reason)
        return self.why_odd(picture)

    def remark(self, name: str, picture: Appearance) -> str | None:
        """What is odd about a picture that is used whatever it looks like; None if nothing is."""
        del name
        return self.why_unusable(picture) or self.why_odd(picture)

    def why_unusable(self, picture: Appearance) -> str | None:
        """Why a picture cannot be judged, and what to do; None if it can."""
        low, high = self
        if picture.brightest < low.brightest * BLACK:
            advice = "take it again"
            if picture.deep > high.deep:
                advice = "training pictures have 8 bits: save it so"
            return (
                f"is black: its brightest place has {picture.brightest:.0%} of white, that of "
                f"training pictures {low.brightest:.0%}; {advice}"
            )
        if picture.darkest > _toward_1(high.darkest, 1 - BLOWN):
            return (
                f"is blown out: its darkest place has {picture.darkest:.0%} of white, that of "
                f"training pictures {high.darkest:.0%}; take it again"
            )
        if picture.white > _toward_1(high.white, 1 - BLOWN):
            return (
                f"is blown out: {picture.white:.0%} of it are white, and of training pictures "
                f"{high.white:.0%}; take it again"
            )
        if picture.flat == 1 > high.flat:
            return "shows one even colour; take it again"
        # Reduced less, a smaller picture shows less detail at the size at which it is looked at.
        smaller = min(picture.height / low.height, picture.width / low.width) < 1 / RESIZED
        if not smaller and picture.blur > _toward_1(high.blur, BLURRED):
            return (
                f"is blurred: by {picture.blur:.2f}, where 1 is beyond recognition, and training "
                f"pictures by {high.blur:.2f}; take it again"
            )
        strange = not (low.edge - ANOTHER_GREY <= picture.edge <= high.edge + ANOTHER_GREY)
        if strange and picture.flat >= _toward_1(high.flat, CUT):
            return f"is cut: {picture.flat:.0%} of it, from one edge on, is empty; take it again"
        return None

    def why_odd(self, picture: Appearance) -> str | None:
        """Why a picture's score may mean less; None if nothing is odd."""
        return "; ".join(self._oddities(picture)) or None

    def _oddities(self, picture: Appearance) -> Iterator[str]:
        low, high = self
        usual = f"{_pixels(low)} pixels"
        if _pixels(low) != _pixels(high):
            usual = f"{_pixels(low)} to {_pixels(high)} pixels"
        size = f"has {_pixels(picture)} pixels, and training pictures have {usual}"
        if not low.shape / RESHAPED <= picture.shape <= high.shape * RESHAPED:
            yield f"{size}: another shape"
        elif not (
            low.height / RESIZED <= picture.height <= high.height * RESIZED
            and low.width / RESIZED <= picture.width <= high.width * RESIZED
        ):
            yield f"{size}: another size"
        if high.colour < GREY and picture.colour > COLOURED:
            yield "has colours, and training pictures are grey"
        if low.colour > GREY and picture.colour == 0:
            yield "is grey, and training pictures have colours"
        # One of 10 to 14 bits, as a rule: those of 16 are bright somewhere.
        if picture.deep > high.deep and picture.brightest < HALF:
            yield "has more than 8 bits, and training pictures have 8: 65535 is taken for white"


def blur_effect(grey: npt.NDArray[np.float32]) -> float:
    """How little difference another blur makes along the columns of a picture.

    By Crete, Dolmiere, Ladret and Nicolas, "The blur effect", SPIE 6492 (2007), with a window of
    ``WINDOW`` pixels: the share of the differences between neighbours that a running mean leaves.
    It depends on neither brightness nor contrast.

    Args:
        grey: ``(H, W)``.

    Returns:
        0 to 1, where 1 is blurred beyond recognition, or empty.
    """
    differences = np.abs(np.diff(grey, axis=0))
    # Two neighbouring means over a window differ by what comes in and what goes out.
    padded = np.pad(grey, ((WINDOW // 2, WINDOW // 2), (0, 0)), mode="edge")
    left = np.abs(padded[WINDOW:] - padded[:-WINDOW]) / WINDOW
    there = float(differences.sum())
    return 1 - float(np.maximum(differences - left, 0).sum()) / there if there > 0 else 1.0


def within(one: Window, other: Window) -> Window:
    """What lies in both; the first where nothing does."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    return (left, top, right, bottom) if left < right and top < bottom else one


def _within(values: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
    height, width = values.shape[:2]
    left, top, right, bottom = window
    rows = slice(math.floor(top * height), math.ceil(bottom * height))
    columns = slice(math.floor(left * width), math.ceil(right * width))
    return values[rows, columns]


def _reduced(values: npt.NDArray[Any]) -> Image.Image:
    """``(H, W, 1|3)`` with ``AREA`` pixels at most."""
    levels = values if values.dtype == np.uint8 else np.rint(values * 255).astype(np.uint8)
    height, width, channels = levels.shape
    levels = np.ascontiguousarray(levels[:, :, 0] if channels == 1 else levels)
    image = Image.fromarray(levels)
    factor = math.sqrt(AREA / (height * width))
    if factor >= 1:
        return image
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return image.resize(size, Image.Resampling.BOX, reducing_gap=1)


def _colour(image: Image.Image) -> float:
    if image.mode == "L":
        return 0.0
    red, green, blue = (np.asarray(channel) for channel in image.split())
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    return float((high - low).mean()) / 255


def _places(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean grey of each of about ``PLACES`` by as many squares."""
    side = max(1, min(grey.shape) // PLACES)
    high, wide = (length // side for length in grey.shape)
    squares = grey[: high * side, : wide * side].reshape(high, side, wide, side)
    means: npt.NDArray[np.float32] = squares.mean(axis=(1, 3))
    return means


def _flat_edge(grey: npt.NDArray[np.float32]) -> tuple[float, float]:
    """The share of rows, from the first one on, that show one grey alone, and that grey."""
    first = grey[:1].mean()
    shown = np.flatnonzero(
        (np.ptp(grey, axis=1) > FLAT) | (np.abs(grey.mean(axis=1) - first) > FLAT)
    )
    count = int(shown[0]) if len(shown) else len(grey)
    return count / len(grey), float(first) if count else -1.0


def _toward_1(share: float, by: float) -> float:
    return share + (1 - share) * by


def _pixels(picture: Appearance) -> str:
    return f"{picture.width:.0f} x {picture.height:.0f}"
