"""Heat maps with softpatch's colours: the same colours mean the same scores in every picture."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from softpatch_runtime.images import read_image
from softpatch_runtime.prediction import Prediction

LONGEST_SIDE = 1024  # pixels of an overlay; larger pictures are scaled down
FULL_COLOUR = 2.0  # times the normal limit, where colour is strongest
OPACITY = 0.65
OUTLINE = (60, 0, 60)  # around what is defective

# Transparent at the normal limit, then yellow, orange, red, magenta.
STOPS = np.linspace(0, 1, 4)
COLOURS = np.array([[255, 235, 60], [255, 150, 20], [235, 30, 30], [170, 0, 110]])


def overlay(
    content: str | npt.NDArray[np.uint8], prediction: Prediction, normal_limit: float
) -> Image.Image:
    """Draw a prediction's map over its picture.

    Args:
        content: the picture, as ``read_image`` takes it.
        prediction: made from it.
        normal_limit: the detector's; scores up to it stay transparent.

    Returns:
        an RGB image of the picture's aspect, at most ``LONGEST_SIDE`` pixels long. What the
        network does not see (beyond ``prediction.box``) is dimmed; what is defective by the
        threshold has an outline.
    """
    levels, (height, width) = read_image(content, prediction.name, LONGEST_SIDE)
    shrink = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    base = Image.fromarray(levels).resize(size, Image.Resampling.BILINEAR)
    canvas = np.asarray(base).astype(np.float64)

    left, top, right, bottom = (round(edge * shrink) for edge in prediction.box)
    right, bottom = max(right, left + 1), max(bottom, top + 1)  # of a picture thin as a line
    seen = np.zeros(canvas.shape[:2], dtype=bool)
    seen[top:bottom, left:right] = True
    canvas[~seen] *= 0.5

    heat = Image.fromarray(prediction.anomaly_map).resize(
        (right - left, bottom - top), Image.Resampling.BILINEAR
    )
    region = canvas[top:bottom, left:right]
    scores = np.asarray(heat)[: len(region), : region.shape[1]]
    colour, opacity = colourise(scores, normal_limit)
    region += (colour - region) * opacity[:, :, None]
    if prediction.pixel_threshold is not None:
        region[outline(scores > prediction.pixel_threshold)] = OUTLINE
    return Image.fromarray(canvas.clip(0, 255).astype(np.uint8))


def colourise(
    heat: npt.NDArray[np.float32], normal_limit: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """``(H, W)`` scores -> ``(H, W, 3)`` colours 0..255 and ``(H, W)`` opacities 0..1."""
    limit = max(normal_limit, 1e-12)
    level = ((heat / limit - 1) / (FULL_COLOUR - 1)).clip(0, 1).astype(np.float64)
    colours = [np.interp(level, STOPS, COLOURS[:, channel]) for channel in range(3)]
    return np.stack(colours, axis=-1), OPACITY * np.sqrt(level)


def outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """``(H, W)`` -> its pixels that have a neighbour outside, or lie at the border."""
    wide = np.pad(mask, 1)
    within = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return mask & ~within


def png_bytes(image: Image.Image) -> bytes:
    """The image as a PNG file's content."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
