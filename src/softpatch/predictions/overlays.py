"""Heat maps of a detector's predictions, scaled with torch: overlay, mask and layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

from softpatch.images.decode import read_image
from softpatch.runtime.heatmap import LONGEST_SIDE, as_layer, colours, frame, paint
from softpatch.runtime.prediction import Prediction

LAYER_SIDE = 512  # pixels of a layer: twice the map of most networks


def overlay(content: object, prediction: Prediction, normal_limit: float) -> Image.Image:
    """Draw a prediction's map over its image, which is given as ``read_image`` takes it.

    Returns:
        an RGB image of the same aspect, at most ``LONGEST_SIDE`` pixels long, see ``paint``.
    """
    image = read_image(content, prediction.name, prediction.intensity)
    size, box = frame(prediction, LONGEST_SIDE)
    base = F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    canvas = base.permute(1, 2, 0).numpy() * 255  # (3, H, W) -> (H, W, 3)
    heat = _resized(prediction, box)
    return paint(canvas, heat, box, prediction, normal_limit)


def mask(prediction: Prediction) -> Image.Image:
    """A prediction's ``defect_mask`` at the image's own size: white is defective."""
    size, box = frame(prediction, max(prediction.size))
    canvas = np.zeros(size, dtype=np.uint8)
    if (level := prediction.pixel_threshold) is not None:
        left, top, right, bottom = box
        region = canvas[top:bottom, left:right]
        heat = _resized(prediction, box)
        region[:] = 255 * (heat > level)[: len(region), : region.shape[1]]
    return Image.fromarray(canvas)


def layer(prediction: Prediction, normal_limit: float) -> Image.Image:
    """Draw a prediction's map alone, to be put over its image.

    Returns:
        an RGBA image of the image's aspect, at most ``LAYER_SIDE`` pixels long, opaque where
        colour is strongest and clear where there is none or the network does not see.
    """
    size, box = frame(prediction, LAYER_SIDE)
    left, top, right, bottom = box
    canvas = np.zeros((*size, 4), dtype=np.uint8)
    heat = _resized(prediction, box)
    canvas[top:bottom, left:right] = as_layer(*colours(heat, prediction, normal_limit))
    return Image.fromarray(canvas)


def _resized(prediction: Prediction, box: tuple[int, int, int, int]) -> npt.NDArray[np.float32]:
    left, top, right, bottom = box
    heat = torch.from_numpy(prediction.anomaly_map)[None, None]
    size = (bottom - top, right - left)
    resized: npt.NDArray[np.float32] = F.interpolate(heat, size=size, mode="bilinear")[0, 0].numpy()
    return resized
