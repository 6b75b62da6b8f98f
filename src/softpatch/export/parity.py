"""Compares an exported file with its model: scores, maps, labels and speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from softpatch.compute.progress import Progress
from softpatch.detectors import Detector
from softpatch.errors import ExportError
from softpatch.runtime.engine import Run
from softpatch.runtime.images import Levels, read_levels

T = TypeVar("T")
Map = npt.NDArray[np.float32]  # (h, w)
TINY = 1e-12  # smallest divisor
# Two bank vectors can be equally near in float32: for one in 20,000 patches of bottle they are to
# 1e-6. Which one is found depends on the order of summation, and the patch's score changes by the
# ratio of their weights. After the blur that is a spot of a hundredth of the map.
TIED = 0.05  # share of a map that such spots may cover


@dataclass(frozen=True)
class ParityReport:
    """An exported file against its model, on the same decoded pictures one by one.

    Attributes:
        pictures: number of pictures.
        score_difference: the largest, as a share of the model's score.
        map_difference: the largest ``map_difference``.
        labels_differ: number of pictures with different labels; None without a threshold.
        model_ms, exported_ms: median milliseconds a picture.
    """

    pictures: int
    score_difference: float
    map_difference: float
    labels_differ: int | None
    model_ms: float
    exported_ms: float

    def check(self, name: Path, tolerance: float, advice: str = "") -> None:
        """Raise ExportError if scores or maps differ by more than ``tolerance``, or any label does.

        The message names the file and ends with ``advice``.
        """
        worst = max(self.score_difference, self.map_difference)
        if not worst <= tolerance:  # NaN neither
            raise ExportError(
                f"{name}: not written, as scores or maps differ by {worst:.1g} from the model's, "
                f"more than the tolerance {tolerance:g}{advice}"
            )
        if self.labels_differ:
            raise ExportError(
                f"{name}: not written, as {self.labels_differ} of {self.pictures} pictures get "
                "another label than by the model; move the threshold away from their scores"
                f"{advice}"
            )


def compare(
    detector: Detector,
    run: Run,
    threshold: float | None,
    pictures: Sequence[Path],
    progress: Progress,
) -> ParityReport:
    """Score pictures, at least one, with the model and, by ``run``, with the exported file.

    Without a threshold, no labels are compared. ImageError if a picture cannot be read.
    """
    seen = detector.preprocessing.min_decode_side, detector.preprocessing.intensity
    done, total = 0, 2 * len(pictures)

    def timed(call: Callable[[Levels], T]) -> Iterator[tuple[T, float]]:
        nonlocal done
        for number, path in enumerate(pictures):
            levels = read_levels(path, str(path), *seen).values
            if number == 0:
                call(levels)  # the first call is slower
            started = time.perf_counter()
            result = call(levels)
            yield result, (time.perf_counter() - started) * 1e3
            done += 1
            progress("compare", done, total)

    # One after the other: idle threads of either spin for a while and would slow the other.
    of_model = list(timed(detector.predict))
    of_file = list(timed(lambda levels: run(levels[None])))
    scores, maps, labels = [], [], 0
    for (prediction, _), (outputs, _) in zip(of_model, of_file, strict=True):
        difference = abs(float(outputs["score"][0]) - prediction.score)
        scores.append(difference / max(prediction.score, TINY))
        maps.append(map_difference(outputs["map"][0], prediction.anomaly_map))
        if threshold is not None:
            labels += int(outputs["label"][0]) != (prediction.score > threshold)
    return ParityReport(
        pictures=len(pictures),
        score_difference=float(np.max(scores)),  # of NaN, NaN
        map_difference=float(np.max(maps)),
        labels_differ=None if threshold is None else labels,
        model_ms=median(took for _, took in of_model),
        exported_ms=median(took for _, took in of_file),
    )


def map_difference(one: Map, other: Map) -> float:
    """Largest difference outside a share ``TIED`` of the pixels, relative to the second's peak."""
    exceeded = np.quantile(np.abs(one - other), 1 - TIED)
    return float(exceeded / max(float(other.max()), TINY))
