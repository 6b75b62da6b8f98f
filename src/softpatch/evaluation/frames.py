"""Anomaly map and ground truth in one frame: the network's input, or the image itself."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from softpatch.evaluation.metrics import Bools
from softpatch.images.preprocessing import Preprocessing
from softpatch.runtime.prediction import Prediction

Heat = npt.NDArray[np.float32]


def mask_at_input(mask: Bools, preprocessing: Preprocessing) -> Bools:
    """``(H, W)`` bool -> ``(h, w)`` bool: the defective pixels in the network's frame.

    Averaged over each pixel of the frame and cut at half.
    """
    shares = preprocessing.frame(torch.from_numpy(mask).float().unsqueeze(0))[0]
    framed: Bools = (shares >= 0.5).numpy()
    return framed


def at_native(mask: Bools, prediction: Prediction) -> tuple[Bools, Heat]:
    """``(H, W)`` bool mask and float32 map at the image's resolution, both cut to the map's box.

    The map is stretched bilinearly over its box, which need not lie on whole pixels; a pixel
    counts where its centre lies in the box.
    """
    left, top, right, bottom = prediction.box
    height, width = prediction.anomaly_map.shape
    rows, down = _stretch(top, bottom, height)
    columns, across = _stretch(left, right, width)
    heat = down @ prediction.anomaly_map @ across.T  # (H, h) @ (h, w) @ (w, W)
    return mask[rows, columns], heat.astype(np.float32, copy=False)


def _stretch(start: float, stop: float, length: int) -> tuple[slice, Heat]:
    """One axis: the pixels between two edges, and ``(pixels, length)`` weights of the map's."""
    first, end = math.ceil(start - 0.5), math.floor(stop - 0.5) + 1
    centres = np.arange(first, end) + 0.5
    position = (centres - start) / (stop - start) * length - 0.5  # in the map, between its pixels
    position = position.clip(0, length - 1)
    weights = 1 - np.abs(position[:, None] - np.arange(length))
    return slice(first, end), weights.clip(0).astype(np.float32)
