"""Image quality: size, colour mode, brightness, contrast and sharpness against the other images.

Defects play no part here. Almost everything is relative to the other images, so that a set that is
dark, soft or of many sizes throughout is not flagged for it.
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
from softpatch.errors import ImageError, reason_of
from softpatch.images.decode import Picture, to_unit
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import OnUnreadable, prefetch
from softpatch.pages.review import Reason
from softpatch.runtime.images import file_mode
from softpatch.runtime.intensity import FULL, Intensity

T = TypeVar("T", bound=Hashable)

GREYS = 64  # pixels a side of the small grey image in which duplicates are sought
LONGEST_SIDE = 2048  # pixels at which sharpness is measured; larger files are soft at full size
OCTAVES = 4
ENOUGH = 8  # images; fewer do not show what is usual
COMMON, RARE = 0.5, 0.1  # shares: a size is odd if it is rare while another one is common
ODD = 5.0  # robust standard deviations from the median
# Smaller differences do not matter, however alike the others are. Images of bottle differ by 0.3
# octaves and 0.01; a blur of one pixel costs 1.6 octaves, 1.6 times the brightness is 0.10.
SOFTER = 1.2  # octaves, see ImageFacts.sharpness
BRIGHTER = 0.06  # of the range from black to white
NO_CONTRAST = 2 / 255
LESS_CONTRAST = 0.25  # of the median


@dataclass(frozen=True)
class ImageFacts:
    """Measurements of one readable image.

    Attributes:
        name: see ``ImageSource``.
        size: (height, width) in pixels.
        mode: Pillow's colour mode of the file, such as ``RGB``; of arrays, their number of
            dimensions and dtype.
        brightness: mean grey, 0..1.
        contrast: standard deviation of ``greys``.
        sharpness: octaves by which fine detail exceeds coarse detail, independent of brightness and
            contrast; NaN for images too small to measure it.
        pixels: digest of the decoded pixels.
        greys: ``(GREYS, GREYS)`` float32 in [0, 1], the whole image reduced.
    """

    name: str
    size: tuple[int, int]
    mode: str
    brightness: float
    contrast: float
    sharpness: float
    pixels: bytes
    greys: Tensor


def measure_images(
    sources: Iterable[ImageSource],
    on_unreadable: OnUnreadable,
    progress: Progress,
    intensity: Intensity = FULL,
) -> list[ImageFacts]:
    """Read and measure all images, each once; those that cannot be read are left out."""
    total = len(sources) if isinstance(sources, Sized) else 0
    images: list[ImageFacts] = []
    for source, size, measured, _ in prefetch(
        sources, _measure, on_unreadable, intensity=intensity
    ):
        try:
            mode = _mode(source.content, source.name)
        except Exception as error:  # gone since it was measured
            on_unreadable(ImageError(source.name, reason_of(error)))
            continue
        images.append(ImageFacts(source.name, size, mode, *measured))
        progress("look", len(images), total)
    return images


def oddities(images: Sequence[ImageFacts]) -> list[list[Reason]]:
    """What is unusual about each image, compared with the others."""
    usual_contrast = float(np.median([image.contrast for image in images] or [0]))
    blank = [image.contrast <= min(NO_CONTRAST, LESS_CONTRAST * usual_contrast) for image in images]
    words = Reason("blank", "hardly any contrast: there is nothing to be seen")
    found = [[words] if nothing else [] for nothing in blank]
    if len(images) < ENOUGH:
        return found
    sizes = _rare([image.size for image in images])
    modes = _rare([image.mode for image in images])
    brightness = _deviations(np.array([image.brightness for image in images]))
    sharpness = _deviations(np.array([image.sharpness for image in images]))
    for index, image in enumerate(images):
        if usual_size := sizes[index]:
            text = f"{_in_words(image.size)} pixels; most have {_in_words(usual_size)}"
            found[index].append(Reason("other-size", text))
        if usual_mode := modes[index]:
            text = f"colour mode {image.mode}; most have {usual_mode}"
            found[index].append(Reason("other-mode", text))
        difference, deviations = brightness[index]
        if abs(difference) > BRIGHTER and abs(deviations) > ODD:
            word = "bright" if difference > 0 else "dark"
            usual = image.brightness - difference
            text = f"brightness {image.brightness:.0%}; the usual is {usual:.0%}"
            found[index].append(Reason(f"too-{word}", text))
        difference, deviations = sharpness[index]
        if difference < -SOFTER and deviations < -ODD and not blank[index]:
            text = f"fine detail is {2**-difference:.0f} times weaker than usual"
            found[index].append(Reason("blurred", text))
    return found


def _measure(picture: Picture) -> tuple[float, float, float, bytes, Tensor]:
    """The fields of ``ImageFacts`` from ``brightness`` on."""
    image = picture.image
    digest = hashlib.sha256(f"{image.dtype} {tuple(image.shape)}".encode())
    digest.update(np.ascontiguousarray(image.numpy()).data)
    red, green, blue = (to_unit(channel) for channel in image)
    grey = (red + green + blue) / 3  # (H, W); image.mean(dim=0) takes five times as long
    size = (GREYS, GREYS)
    small = F.interpolate(grey[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    return float(grey.mean()), float(small.std()), _sharpness(grey), digest.digest(), small


def _sharpness(grey: Tensor) -> float:
    """Octaves by which the Laplacian of the two finest scales exceeds that of the next two."""
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


def _mode(content: Any, name: str) -> str:
    if callable(content):
        content = content()
    if isinstance(content, bytes):
        content = io.BytesIO(content)
    if isinstance(content, Path | io.BytesIO):
        return file_mode(content, name)
    if isinstance(content, Image.Image):
        return str(content.mode)
    if isinstance(content, np.ndarray | Tensor):
        return f"{content.ndim}-dimensional {content.dtype}"
    return type(content).__name__


def _rare(values: Sequence[T]) -> list[T | None]:
    """For each rare value the common one that it differs from; None for the others."""
    counts = Counter(values)
    usual, most = counts.most_common(1)[0]
    if most < COMMON * len(values):
        return [None] * len(values)
    rare = {value for value, count in counts.items() if count <= RARE * len(values)} - {usual}
    return [usual if value in rare else None for value in values]


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
