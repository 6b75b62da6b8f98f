"""Heat maps people can read: the same colours mean the same scores in every picture of a model."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

from softpatch.images.decode import read_image
from softpatch.predictions.record import Prediction

LONGEST_SIDE = 1024  # pixels of an overlay; larger pictures are scaled down
LAYER_SIDE = 512  # of a layer: twice the map of most networks
# Times the normal limit, where colour is strongest. Defects' largest scores are 1.1 times the limit
# on turned parts and magnetic tile, 2.8 on turned bottles and 3.5 on bottles, in the median.
FULL_COLOUR = 2.0
OPACITY = 0.65
OUTLINE = (60, 0, 60)  # around what is defective

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
        network does not see (beyond ``prediction.box``) is dimmed; what is defective by the
        threshold has an outline.
    """
    picture = read_image(content, prediction.name)
    size, (left, top, right, bottom) = _frame(prediction, LONGEST_SIDE)
    base = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0]
    canvas = base.permute(1, 2, 0).numpy() * 255  # (3, H, W) -> (H, W, 3)

    seen = np.zeros(size, dtype=bool)
    seen[top:bottom, left:right] = True
    canvas[~seen] *= 0.5

    heat = _resized(prediction, (bottom - top, right - left))
    colour, opacity = colourise(heat, normal_limit)
    region = canvas[top:bottom, left:right]
    region += (colour - region) * opacity[:, :, None]
    if prediction.pixel_threshold is not None:
        region[outline(heat > prediction.pixel_threshold)] = OUTLINE
    return Image.fromarray(canvas.clip(0, 255).astype(np.uint8))


def mask(prediction: Prediction) -> Image.Image:
    """A prediction's ``defect_mask`` at the picture's own size: white is defective."""
    size, (left, top, right, bottom) = _frame(prediction, max(prediction.size))
    canvas = np.zeros(size, dtype=np.uint8)
    if (level := prediction.pixel_threshold) is not None:
        heat = _resized(prediction, (bottom - top, right - left))
        region = canvas[top:bottom, left:right]
        region[:] = 255 * (heat > level)[: len(region), : region.shape[1]]
    return Image.fromarray(canvas)


def layer(prediction: Prediction, normal_limit: float) -> Image.Image:
    """Draw a prediction's map alone, to be laid over its picture.

    Args:
        prediction: whose map.
        normal_limit: see ``overlay``.

    Returns:
        an RGBA image of the picture's aspect, at most ``LAYER_SIDE`` pixels long, opaque where
        colour is strongest and clear where scores are normal or the network does not see.
    """
    size, (left, top, right, bottom) = _frame(prediction, LAYER_SIDE)
    canvas = np.zeros((*size, 4), dtype=np.uint8)
    colour, opacity = colourise(_resized(prediction, (bottom - top, right - left)), normal_limit)
    canvas[top:bottom, left:right] = np.dstack([colour, 255 * opacity / OPACITY]).round()
    return Image.fromarray(canvas)


def _frame(
    prediction: Prediction, longest: int
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """(height, width) of a drawing with sides up to ``longest``, and the map's box in it."""
    height, width = prediction.size
    shrink = min(1.0, longest / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    left, top, right, bottom = (round(edge * shrink) for edge in prediction.box)
    right, bottom = max(right, left + 1), max(bottom, top + 1)  # of a picture thin as a line
    return size, (left, top, right, bottom)


def _resized(prediction: Prediction, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    heat = torch.from_numpy(prediction.anomaly_map)[None, None]
    resized: npt.NDArray[np.float32] = F.interpolate(heat, size=size, mode="bilinear")[0, 0].numpy()
    return resized


def colourise(
    heat: npt.NDArray[np.float32], normal_limit: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """``(H, W)`` scores -> ``(H, W, 3)`` colours 0..255 and ``(H, W)`` opacities 0..1."""
    limit = max(normal_limit, 1e-12)
    level = ((heat / limit - 1) / (FULL_COLOUR - 1)).clip(0, 1).astype(np.float64)
    colours = [np.interp(level, _STOPS, _COLOURS[:, channel]) for channel in range(3)]
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
