"""Heat maps people can read: the same colours mean the same scores in every image of a model."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .images import read_levels
from .own_files import MADE_BY
from .prediction import Prediction

LONGEST_SIDE = 1024  # pixels of an overlay; larger images are scaled down
# Times the threshold, where colour is strongest; without one, times the value where it begins. Bad
# bottles score 2.6 times the threshold in the median, bad magnetic tiles that exceed it 1.1 times.
FULL_COLOUR = 2.0
CLEAR = 1 / 3  # of the way to that, at the threshold: from yellow, to be looked at, to orange, bad
OPACITY = 0.65
OUTLINE = (60, 0, 60)  # around what is defective

# Transparent where colour begins, then yellow, orange, red, magenta where it is strongest: warm
# colours stand out on grey metal, and lightness falls steadily for colour-blind eyes.
_STOPS = np.linspace(0, 1, 4)
_COLOURS = np.array([[255, 235, 60], [255, 150, 20], [235, 30, 30], [170, 0, 110]])


def overlay(content: object, prediction: Prediction, normal_limit: float) -> Image.Image:
    """Draw a prediction's map over its image, which is given as ``decode`` takes it.

    softpatch's own overlay scales image and map with torch, whose pixels differ from Pillow's.

    Returns:
        an RGB image of the same aspect, at most ``LONGEST_SIDE`` pixels long, see ``paint``.
    """
    levels, *_ = read_levels(content, prediction.name, LONGEST_SIDE, prediction.intensity)
    (height, width), box = frame(prediction, LONGEST_SIDE)
    left, top, right, bottom = box
    base = Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR)
    heat = Image.fromarray(prediction.anomaly_map).resize(
        (right - left, bottom - top), Image.Resampling.BILINEAR
    )
    canvas = np.asarray(base).astype(np.float64)
    return paint(canvas, np.asarray(heat), box, prediction, normal_limit)


def frame(
    prediction: Prediction, longest: int
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """(height, width) of a drawing with sides up to ``longest``, and the map's box in it."""
    height, width = prediction.size
    shrink = min(1.0, longest / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    left, top, right, bottom = (round(edge * shrink) for edge in prediction.box)
    right, bottom = max(right, left + 1), max(bottom, top + 1)  # of an image thin as a line
    return size, (left, top, right, bottom)


def paint(
    canvas: npt.NDArray[np.floating[Any]],
    heat: npt.NDArray[np.float32],
    box: tuple[int, int, int, int],
    prediction: Prediction,
    normal_limit: float,
) -> Image.Image:
    """Draw scores over an image: RGB, what the network does not see is dimmed, defects outlined.

    Args:
        canvas: ``(H, W, 3)`` values 0..255 of the image; drawn on.
        heat: ``(h, w)``, the prediction's map at the size of ``box``.
        box: (left, top, right, bottom) that the network sees.
        prediction: whose map it is.
        normal_limit: see ``colours``.
    """
    left, top, right, bottom = box
    seen = np.zeros(canvas.shape[:2], dtype=bool)
    seen[top:bottom, left:right] = True
    canvas[~seen] *= 0.5
    region = canvas[top:bottom, left:right]
    heat = heat[: len(region), : region.shape[1]]
    colour, opacity = colours(heat, prediction, normal_limit)
    region += (colour - region) * opacity[:, :, None]
    if (pixel_threshold := prediction.pixel_threshold) is not None:
        region[outline(heat > pixel_threshold)] = OUTLINE
    return Image.fromarray(canvas.clip(0, 255).astype(np.uint8))


def colours(
    heat: npt.NDArray[np.float32], prediction: Prediction, normal_limit: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A prediction's map in the colours that go with its verdict; see ``colourise``.

    A good image has none, one to look at faint ones, and a bad one clear ones: colour begins at the
    look limit, or at the threshold if that is lower or alone, and the map, which is blurred, is
    scaled so that its peak is the image's score.

    Args:
        heat: ``(H, W)``, the prediction's map at any size.
        prediction: whose it is.
        normal_limit: the model's, where colour begins if it has no other limit; the map is then
            taken as it is.
    """
    limits = [one for one in (prediction.look, prediction.threshold) if one is not None]
    if not limits:
        return colourise(heat, normal_limit)
    peak = float(prediction.anomaly_map.max())
    scores = heat.astype(np.float64) * (prediction.score / peak if peak > 0 else 0)
    # Rounding must not lift the peak over a limit that the score has just not passed.
    return colourise(np.minimum(scores, prediction.score), min(limits), prediction.threshold)


def colourise(
    heat: npt.NDArray[np.floating[Any]], begin: float, threshold: float | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """``(H, W)`` scores -> ``(H, W, 3)`` colours 0..255 and ``(H, W)`` opacities 0..1.

    Up to ``begin`` they are transparent; above the threshold, which is no less, they are clear.
    """
    values, levels = [max(begin, 1e-12)], [0.0]
    if threshold is not None:
        if threshold > values[0]:
            values.append(threshold)
            levels.append(CLEAR)
        else:
            levels = [CLEAR]
    values.append(FULL_COLOUR * values[-1])
    levels.append(1.0)
    level = np.where(heat > values[0], np.interp(heat, values, levels), 0.0)
    channels = [np.interp(level, _STOPS, _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1), OPACITY * np.sqrt(level)


def as_layer(
    colour: npt.NDArray[np.float64], opacity: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """Colours and opacities as ``(H, W, 4)``, to be laid over an image; opaque at ``OPACITY``."""
    return np.dstack([colour, 255 * opacity / OPACITY]).round().astype(np.uint8)


def outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """``(H, W)`` -> its pixels that have a neighbour outside, or are at the border."""
    wide = np.pad(mask, 1)
    within = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return mask & ~within


def png_bytes(image: Image.Image) -> bytes:
    """A drawing as a PNG file's content, which says what has made it (``own_files``)."""
    buffer, about = io.BytesIO(), PngInfo()
    about.add_text(*MADE_BY)
    image.save(buffer, format="PNG", pnginfo=about)
    return buffer.getvalue()
