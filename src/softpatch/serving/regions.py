"""Outlines of the anomalous regions of a picture, as polygons."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softpatch.runtime.prediction import Prediction

Line = npt.NDArray[np.float64]  # (n, 2): x and y; a closed line ends at its first point
TOLERANCE = 0.5  # pixels of the map by which an outline with fewer points may be off


@dataclass(frozen=True)
class Polygon:
    """The outline of one region."""

    points: Line  # (n, 2), n at least 3, x to the right and y down in pixels of the picture
    share: float  # of the picture's area, 0 to 1, without holes


def anomalous_regions(prediction: Prediction, normal_limit: float) -> list[Polygon]:
    """Outline the regions where the map exceeds ``Prediction.pixel_threshold``, largest first.

    A good picture has none; without a threshold the model's ``normal_limit_`` takes its place.
    """
    from contourpy import FillType, contour_generator

    heat = prediction.anomaly_map
    level = normal_limit if prediction.threshold is None else prediction.pixel_threshold
    if level is None or heat.max() <= 0:
        return []
    height, width = heat.shape
    left, top, right, bottom = prediction.box
    scale = (right - left) / width, (bottom - top) / height
    # Zeros around the map close the contours at its border. Contours run through pixel centres, so
    # the outermost pixels are repeated for contours to reach the border itself.
    padded = np.pad(np.pad(heat, 1, mode="edge"), 1)
    contours = contour_generator(z=padded, fill_type=FillType.OuterOffset)
    found = []
    for points, offsets in zip(*contours.filled(level, np.inf), strict=True):
        within = (points - 1.5).clip(0, (width, height))  # pixel i has its centre at i + 2
        outline, *holes = (within[begin:end] for begin, end in itertools.pairwise(offsets))
        area = (_area(outline) - sum(map(_area, holes))) * scale[0] * scale[1]
        if area > 0 and len(polygon := _thinned(outline)[:-1]) > 2:
            share = area / (prediction.size[0] * prediction.size[1])
            found.append(Polygon(polygon * scale + (left, top), min(1.0, share)))
    return sorted(found, key=lambda region: -region.share)


def _thinned(line: Line) -> Line:
    """A line with fewer points, at most ``TOLERANCE`` from the others (Douglas-Peucker).

    The first and last points stay; for a closed line, so does the one farthest from them.
    """
    chord = line[-1] - line[0]
    length = float(np.hypot(*chord))
    apart = line - line[0]
    if length > 0:
        off = np.abs(chord[0] * apart[:, 1] - chord[1] * apart[:, 0]) / length
    else:
        off = np.hypot(*apart.T)
    worst = int(off.argmax())
    if off[worst] <= TOLERANCE:
        return line[[0, -1]]
    return np.concatenate([_thinned(line[: worst + 1])[:-1], _thinned(line[worst:])])


def _area(ring: Line) -> float:
    x, y = ring.T
    return abs(float(x[:-1] @ y[1:] - x[1:] @ y[:-1])) / 2
