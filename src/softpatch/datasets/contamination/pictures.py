"""Pictures taken again: a part laid down a little differently, or photographed badly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from softpatch.runtime.images import read_levels
from softpatch.runtime.intensity import FULL, Intensity

# The released code's augmentation of injected pictures.
MAX_ROTATION = 10.0  # degrees
MAX_SHIFT = 0.05  # of the picture's width and height
SCALES = (0.95, 1.05)

# Capture faults: obvious, yet the part can still be recognised.
FAULTS: tuple[str, ...] = ("blur", "over-exposure", "under-exposure", "shift")
BLURS = (0.008, 0.02)  # Gaussian sigma, of the picture's shorter side
BRIGHT = (1.5, 2.2)  # gains; values above white are clipped
DARK = (0.25, 0.5)
SHIFTS = (0.08, 0.16)  # of the picture's width and height


def augmented(path: Path, seed: int, index: int, intensity: Intensity = FULL) -> Image.Image:
    """The picture rotated, shifted, scaled and perhaps flipped, with mirrored borders."""
    random = np.random.default_rng((seed, index))
    picture = _read(path, intensity)
    if random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    width, height = picture.size
    margin = (width // 2, height // 2)
    mirrored = _mirrored(picture, margin)
    angle = random.uniform(-MAX_ROTATION, MAX_ROTATION)
    scale = random.uniform(*SCALES)
    shift = random.uniform(-MAX_SHIFT, MAX_SHIFT, size=2) * (width, height)
    cos, sin = np.cos(np.radians(angle)) / scale, np.sin(np.radians(angle)) / scale
    x, y = mirrored.width / 2, mirrored.height / 2
    matrix = (
        cos, sin, x - cos * x - sin * y + shift[0],
        -sin, cos, y + sin * x - cos * y + shift[1],
    )  # fmt: skip
    turned = mirrored.transform(
        mirrored.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return turned.crop((margin[0], margin[1], margin[0] + width, margin[1] + height))


def fault_of(seed: int, index: int) -> str:
    """The capture fault of the ``index``-th injected picture, uniformly drawn."""
    return FAULTS[np.random.default_rng((seed, index)).integers(len(FAULTS))]


def badly_taken(
    path: Path, fault: str, seed: int, index: int, intensity: Intensity = FULL
) -> Image.Image:
    """The picture with one of ``FAULTS``, its strength drawn by seed and index."""
    random = np.random.default_rng((seed, index, FAULTS.index(fault)))
    picture = _read(path, intensity)
    if fault == "blur":
        return picture.filter(ImageFilter.GaussianBlur(random.uniform(*BLURS) * min(picture.size)))
    if fault == "shift":
        signs = random.choice([-1, 1], size=2)
        x, y = (signs * random.uniform(*SHIFTS, size=2) * picture.size).round().astype(int)
        mirrored = _mirrored(picture, (abs(x), abs(y)))
        left, top = abs(x) - x, abs(y) - y
        return mirrored.crop((left, top, left + picture.width, top + picture.height))
    gain = random.uniform(*(BRIGHT if fault == "over-exposure" else DARK))
    return picture.point(lambda value: min(255, round(value * gain)))


def _read(path: Path, intensity: Intensity) -> Image.Image:
    """Read a file as 8-bit RGB."""
    return Image.fromarray(read_levels(path, intensity=intensity).values)


def _mirrored(picture: Image.Image, margin: tuple[int, int]) -> Image.Image:
    """The picture with mirrored margins of (left and right, top and bottom) pixels."""
    pixels: npt.NDArray[np.uint8] = np.asarray(picture)  # (H, W, 3)
    width = [(margin[1], margin[1]), (margin[0], margin[0]), (0, 0)]
    return Image.fromarray(np.pad(pixels, width, mode="symmetric"))
