"""What each picture is like as a file and a photograph, and which are unlike the others.

Nothing here knows of defects. Almost everything is relative to the other pictures, so that a set
that is dark, soft or of many sizes throughout is not flagged for it.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from softpatch.compute.progress import Progress
from softpatch.images.decode import to_unit
from softpatch.images.sources import ImageSource, OnUnreadable, prefetch
from softpatch.pages.review import Reason

T = TypeVar("T", bound=Hashable)

GREYS = 64  # pixels a side of the small grey picture that duplicates are sought in
LONGEST_SIDE = 2048  # pixels at which sharpness is measured; larger files are soft at full size
OCTAVES = 4
ENOUGH = 8  # pictures; fewer do not tell what is usual
COMMON, RARE = 0.5, 0.1  # shares: a size is odd if it is rare where another one is common
ODD = 5.0  # robust standard deviations from the median
# Below these a difference does not matter, however alike the others are. Bottle: pictures differ
# by 0.3 octaves and 0.01; blurred by a pixel they lose 1.6 octaves, 1.6 times as bright 0.10.
SOFTER = 1.2  # octaves, see Picture.sharpness
BRIGHTER = 0.06  # of the range from black to white
NO_CONTRAST = 2 / 255
LESS_CONTRAST = 0.25  # of the median


@dataclass(frozen=True)
class Picture:
    """One readable picture.

    Attributes:
        name: see ``ImageSource``.
        size: (height, width) in pixels.
        mode: Pillow's colour mode of the file, such as ``RGB``; of arrays, their number of
            dimensions and dtype.
        brightness: mean grey, 0..1.
        contrast: standard deviation of ``greys``.
        sharpness: octaves by which fine detail exceeds coarse detail; NaN of pictures too small.
            It depends on neither brightness nor contrast.
        pixels: digest of the decoded pixels.
        greys: ``(GREYS, GREYS)`` float32 in [0, 1], the whole picture in small.
    """

    name: str
    size: tuple[int, int]
    mode: str
    brightness: float
    contrast: float
    sharpness: float
    pixels: bytes
    greys: Tensor


def look_at(
    sources: Iterable[ImageSource], on_unreadable: OnUnreadable, progress: Progress
) -> list[Picture]:
    """Read all pictures, once.

    Args:
        sources: which.
        on_unreadable: gets those that cannot be read, instead.
        progress: told of the step ``look``.
    """
    total = len(sources) if isinstance(sources, Sized) else 0
    pictures: list[Picture] = []
    for source, size, measured in prefetch(sources, _measure, on_unreadable):
        pictures.append(Picture(source.name, size, _mode(source.content), *measured))
        progress("look", len(pictures), total)
    return pictures


def oddities(pictures: Sequence[Picture]) -> list[list[Reason]]:
    """What is unusual about each picture, compared with the others."""
    usual_contrast = float(np.median([picture.contrast for picture in pictures] or [0]))
    blank = [
        picture.contrast <= min(NO_CONTRAST, LESS_CONTRAST * usual_contrast) for picture in pictures
    ]
    words = Reason("blank", "hardly any contrast: there is nothing to be seen")
    found = [[words] if nothing else [] for nothing in blank]
    if len(pictures) < ENOUGH:
        return found
    sizes = _rare([picture.size for picture in pictures])
    modes = _rare([picture.mode for picture in pictures])
    brightness = _deviations(np.array([picture.brightness for picture in pictures]))
    sharpness = _deviations(np.array([picture.sharpness for picture in pictures]))
    for at, picture in enumerate(pictures):
        if usual_size := sizes[at]:
            text = f"{_in_words(picture.size)} pixels; most have {_in_words(usual_size)}"
            found[at].append(Reason("other-size", text))
        if usual_mode := modes[at]:
            text = f"colour mode {picture.mode}; most have {usual_mode}"
            found[at].append(Reason("other-mode", text))
        difference, deviations = brightness[at]
        if abs(difference) > BRIGHTER and abs(deviations) > ODD:
            word = "bright" if difference > 0 else "dark"
            usual = picture.brightness - difference
            text = f"brightness {picture.brightness:.0%}; the usual is {usual:.0%}"
            found[at].append(Reason(f"too-{word}", text))
        difference, deviations = sharpness[at]
        if difference < -SOFTER and deviations < -ODD and not blank[at]:
            text = f"fine detail is {2**-difference:.0f} times weaker than usual"
            found[at].append(Reason("blurred", text))
    return found


def _measure(image: Tensor) -> tuple[float, float, float, bytes, Tensor]:
    """``(3, H, W)`` uint8 or float -> the fields of ``Picture`` from ``brightness`` on."""
    digest = hashlib.sha256(f"{image.dtype} {tuple(image.shape)}".encode())
    digest.update(np.ascontiguousarray(image.numpy()).data)
    red, green, blue = (to_unit(channel) for channel in image)
    grey = (red + green + blue) / 3  # (H, W); a mean over the channels takes five times as long
    small = F.interpolate(grey[None, None], size=(GREYS, GREYS), mode="bilinear", antialias=True)[
        0, 0
    ]
    return (
        float(grey.mean()), float(small.std()), _sharpness(grey), digest.digest(), small,
    )  # fmt: skip


def _sharpness(grey: Tensor) -> float:
    """How much Laplacian there is in the two finest octaves beyond the two next ones."""
    factor = math.ceil(max(grey.shape) / LONGEST_SIDE)
    if min(grey.shape) < 4 * 2**OCTAVES * factor:
        return math.nan
    image = F.avg_pool2d(grey[None], factor)[0]
    energies = []
    for _ in range(OCTAVES):
        around = image[2:, 1:-1] + image[:-2, 1:-1] + image[1:-1, 2:] + image[1:-1, :-2]
        energies.append(float((around - 4 * image[1:-1, 1:-1]).std()) + 1e-6)
        image = F.avg_pool2d(image[None], 2)[0]
    return math.log2(energies[0] * energies[1] / (energies[2] * energies[3]))


def _mode(content: Any) -> str:
    if callable(content):
        content = content()
    if isinstance(content, bytes):
        content = io.BytesIO(content)
    if isinstance(content, Path | io.BytesIO):
        with Image.open(content) as image:  # the header: it has been read before
            return str(image.mode)
    if isinstance(content, Image.Image):
        return str(content.mode)
    if isinstance(content, np.ndarray | Tensor):
        return f"{content.ndim}-dimensional {content.dtype}"
    return type(content).__name__


def _rare(values: Sequence[T]) -> list[T | None]:
    """For each value: the common one that it differs from while being rare, or None."""
    counts = Counter(values)
    usual, most = counts.most_common(1)[0]
    if most < COMMON * len(values):
        return [None] * len(values)
    return [
        usual if value != usual and counts[value] <= RARE * len(values) else None
        for value in values
    ]


def _in_words(size: tuple[int, int]) -> str:
    return f"{size[1]} × {size[0]}"


def _deviations(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[tuple[float, float]]:
    """``(N,)`` -> differences from the median, plain and in robust standard deviations."""
    known = values[np.isfinite(values)]
    if not len(known):
        return [(math.nan, math.nan)] * len(values)
    differences = values - np.median(known)
    spread = max(1.4826 * float(np.median(np.abs(known - np.median(known)))), 1e-9)
    return list(zip(differences.tolist(), (differences / spread).tolist(), strict=True))
