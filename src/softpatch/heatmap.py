"""Heat maps people can read: the same colours mean the same scores in every picture of a model."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

from softpatch.images import read_image
from softpatch.prediction import Prediction

LONGEST_SIDE = 1024  # pixels of an overlay; larger pictures are scaled down
FULL_COLOUR = 3.0  # times the normal limit, where colour is strongest
OPACITY = 0.65

# Transparent at the model's normal limit, then yellow, orange, red, magenta at FULL_COLOUR times
# it: warm colours stand out on grey metal, and lightness falls steadily for colour-blind eyes.
_STOPS = np.linspace(0, 1, 4)
_COLOURS = np.array([[255, 235, 60], [255, 150, 20], [235, 30, 30], [170, 0, 110]])


def overlay(content: object, prediction: Prediction, normal_limit: float) -> Image.Image:
    """Draw a prediction's map over its picture.

    Args:
        content: the picture, as ``read_image`` takes it.
        prediction: made from it.
        normal_limit: the model's ``normal_limit_``: scores up to it stay transparent, so a good
            picture looks calm.

    Returns:
        an RGB image of the picture's aspect, at most ``LONGEST_SIDE`` pixels long. What the
        network does not see (beyond ``prediction.box``) is dimmed.
    """
    picture = read_image(content, prediction.name)
    height, width = prediction.size
    shrink = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    base = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0]
    canvas = base.permute(1, 2, 0).numpy() * 255  # (3, H, W) -> (H, W, 3)

    left, top, right, bottom = (round(edge * shrink) for edge in prediction.box)
    right, bottom = max(right, left + 1), max(bottom, top + 1)  # of a picture thin as a line
    seen = np.zeros(size, dtype=bool)
    seen[top:bottom, left:right] = True
    canvas[~seen] *= 0.5

    heat = F.interpolate(
        torch.from_numpy(prediction.anomaly_map)[None, None],
        size=(bottom - top, right - left),
        mode="bilinear",
    )[0, 0].numpy()
    colour, opacity = colourise(heat, normal_limit)
    region = canvas[top:bottom, left:right]
    region += (colour - region) * opacity[:, :, None]
    return Image.fromarray(canvas.clip(0, 255).astype(np.uint8))


def colourise(
    heat: npt.NDArray[np.float32], normal_limit: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """``(H, W)`` scores -> ``(H, W, 3)`` colours 0..255 and ``(H, W)`` opacities 0..1."""
    limit = max(normal_limit, 1e-12)
    level = ((heat / limit - 1) / (FULL_COLOUR - 1)).clip(0, 1).astype(np.float64)
    colours = [np.interp(level, _STOPS, _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(colours, axis=-1), OPACITY * np.sqrt(level)


def png_bytes(image: Image.Image) -> bytes:
    """The image as a PNG file's content."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
