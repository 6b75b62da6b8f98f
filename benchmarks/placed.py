"""A picture made small, turned by any angle and laid at any place of a frame as large as it was.

Around the picture the frame goes on as the picture's border: its colours, made smooth, which become
their mean farther out, and noise. The picture fades into that, so that no seam shows.
"""

from __future__ import annotations

import math
import random

import numpy as np
import numpy.typing as npt
from PIL import Image

STRIP = 0.02  # of a side: the border, which tells what the surroundings are like
CELLS = 8  # that each side of the border is divided into; of each, the mean colour goes on outside
LESS = 0.6  # what is left of its difference from the mean of all, one cell farther out
FADE = 0.06  # of a side, from the picture's edge inwards


def placed(picture: Image.Image, turn: str, scale: float) -> Image.Image:
    """An RGB picture, of the same size.

    Args:
        picture: RGB.
        turn: seeds the angle, the place and the noise.
        scale: side of the picture as a share of the frame's, in (0, 1]. Above about 0.7 a turned
            picture does not fit at every angle; what stands out is its corners, and they are cut.
    """
    part = _small(picture, scale, Image.Resampling.LANCZOS)
    noise = _noise(part)
    angle, corner, extent = _place(part, picture.size, turn)
    centre = (corner[0] + extent[0] / 2, corner[1] + extent[1] / 2)
    surface = np.asarray(_surface(part, picture.size, angle, centre), dtype=np.float64)
    draw = np.random.default_rng(list(turn.encode()))
    surface += noise * draw.standard_normal((*surface.shape[:2], 1))  # grey stays grey
    frame = Image.fromarray(surface.round().clip(0, 255).astype(np.uint8))
    part.putalpha(Image.fromarray(_fading(part.size)))
    laid = part.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    frame.paste(laid, corner, laid)
    return frame


def placed_mask(mask: Image.Image, turn: str, scale: float) -> Image.Image:
    """A mask of 0 and 255, by the same turn as its picture.

    A pixel is defective if at least half of what became that pixel was; of a defect too thin for
    that, the most covered pixels are.
    """
    part = _small(mask, scale, Image.Resampling.BOX)
    angle, corner, _ = _place(part, mask.size, turn)
    frame = Image.new("L", mask.size)
    frame.paste(part.rotate(angle, Image.Resampling.BILINEAR, expand=True), corner)
    covered = np.asarray(frame)
    least = min(128, max(1, int(covered.max())))
    return Image.fromarray(np.where(covered >= least, 255, 0).astype(np.uint8))


def _small(picture: Image.Image, scale: float, method: Image.Resampling) -> Image.Image:
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return picture.resize((width, height), method)


def _place(
    part: Image.Image, frame: tuple[int, int], turn: str
) -> tuple[float, tuple[int, int], tuple[int, int]]:
    """Angle in degrees, upper left corner and extent of the turned part: in the frame if it fits.

    All sizes and places are (across, down), in pixels.
    """
    draw = random.Random(turn)
    angle = draw.uniform(-180, 180)
    extent = part.rotate(angle, expand=True).size
    across, down = (
        round(draw.random() * room) if room > 0 else room // 2
        for room in (outer - inner for outer, inner in zip(frame, extent, strict=True))
    )
    return angle, (across, down), extent


def _surface(
    part: Image.Image, frame: tuple[int, int], angle: float, centre: tuple[float, float]
) -> Image.Image:
    """What goes on around a part of that angle and centre; below it, the colours of its border."""
    across, down = (max(1, round(STRIP * side)) for side in part.size)
    coarse = np.zeros((CELLS, CELLS, 3))
    for cells, box in (
        (coarse[:1], (0, 0, part.width, down)),
        (coarse[-1:], (0, part.height - down, part.width, part.height)),
        (coarse[:, :1], (0, 0, across, part.height)),
        (coarse[:, -1:], (part.width - across, 0, part.width, part.height)),
    ):
        strip = part.crop(box).resize((cells.shape[1], cells.shape[0]), Image.Resampling.BOX)
        cells[:] = np.asarray(strip)
    border = np.ones((CELLS, CELLS), dtype=bool)
    border[1:-1, 1:-1] = False
    mean = coarse[border].mean(axis=0)
    coarse[~border] = mean
    sides = part.width / CELLS, part.height / CELLS  # of a cell
    reach = math.ceil(math.hypot(*frame) / min(sides))  # cells beyond the part
    beyond = np.pad(np.zeros(CELLS), reach, "linear_ramp", end_values=reach)
    away = np.maximum.outer(beyond, beyond)[..., None]
    outside = np.pad(coarse, ((reach, reach), (reach, reach), (0, 0)), "edge")
    wide = Image.fromarray((mean + (outside - mean) * LESS**away).round().astype(np.uint8))
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    rows = []  # of the map from the frame to ``wide``
    for side, (right, below) in zip(sides, ((cosine, -sine), (sine, cosine)), strict=True):
        start = reach + CELLS / 2 - (right * centre[0] + below * centre[1]) / side
        rows += [right / side, below / side, start]
    return wide.transform(frame, Image.Transform.AFFINE, rows, Image.Resampling.BICUBIC)


def _noise(part: Image.Image) -> npt.NDArray[np.float64]:
    """``(3,)``, standard deviation of the noise at the picture's top, in grey values.

    Neighbours differ by √2 times that, and by the slope of the light. The tenth that differs most
    is left out, as it may be edges: the mean of the others is 0.657 standard deviations.
    """
    top = np.asarray(part, dtype=np.float64)[: max(2, part.height // 16)]
    steps = np.diff(top, axis=1)
    off = np.sort(np.abs(steps - np.median(steps, axis=(0, 1))).reshape(-1, 3), axis=0)
    least: npt.NDArray[np.float64] = off[: math.ceil(0.9 * len(off))].mean(axis=0)
    return least / (0.657 * math.sqrt(2))


def _fading(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """``(H, W)``, how much of a picture of that (width, height) shows: from about 0 to 255."""
    across, down = (
        np.minimum(1, (0.5 + np.minimum(places, places[::-1])) / max(1, FADE * len(places)))
        for places in map(np.arange, size)
    )
    return (255 * np.minimum.outer(down, across)).round().astype(np.uint8)
