"""What a detector says about one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Prediction:
    """One picture's result, as ``softpatch.Prediction``.

    Attributes:
        name: the path as given, or ``image <index>`` for arrays.
        score: at least 0; larger is more anomalous.
        anomaly_map: ``(h, w)`` float32, at least 0, at the network's input size.
        size: (height, width) of the picture in pixels.
        box: (left, top, right, bottom) of the part the map covers, in pixels of the picture.
        label: 1 where the score is above the model's threshold, else 0; None without threshold.
    """

    name: str
    score: float
    anomaly_map: npt.NDArray[np.float32]
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    label: int | None
