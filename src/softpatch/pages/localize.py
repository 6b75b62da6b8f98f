"""A box around the peak of an anomaly map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Box = tuple[float, float, float, float]  # left, top, right, bottom


def peak_box(heat: npt.NDArray[np.float32], box: Box, size: tuple[int, int]) -> Box:
    """The box around the peak and all pixels connected to it above a third of its height.

    Args:
        heat: ``(h, w)`` scores.
        box: part of the picture that they cover, in pixels.
        size: (height, width) of the picture, to which the result is clipped.

    Returns:
        whole pixels.
    """
    level = (2 * float(np.median(heat)) + float(heat.max())) / 3
    spot = _connected(heat >= level, np.unravel_index(int(heat.argmax()), heat.shape))
    rows, columns = np.nonzero(spot.any(axis=1))[0], np.nonzero(spot.any(axis=0))[0]
    left, top, right, bottom = box
    down, across = (bottom - top) / heat.shape[0], (right - left) / heat.shape[1]
    return (
        max(0.0, float(np.floor(left + columns[0] * across))),
        max(0.0, float(np.floor(top + rows[0] * down))),
        min(float(size[1]), float(np.ceil(left + (columns[-1] + 1) * across))),
        min(float(size[0]), float(np.ceil(top + (rows[-1] + 1) * down))),
    )


def _connected(mask: npt.NDArray[np.bool_], start: tuple[np.intp, ...]) -> npt.NDArray[np.bool_]:
    """The 8-connected component of the mask that contains ``start``."""
    spot = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), dtype=bool)  # with a margin
    inner = spot[1:-1, 1:-1]
    inner[start] = True
    reached = 0
    while (count := int(inner.sum())) > reached:
        reached = count
        wide = spot[:-2] | spot[1:-1] | spot[2:]
        inner[:] = (wide[:, :-2] | wide[:, 1:-1] | wide[:, 2:]) & mask
    return inner
