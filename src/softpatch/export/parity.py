"""Does an exported file say what the model says, and how fast?"""

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
TINY = 1e-12  # no score is divided by less
# Two bank vectors can be equally near to all digits of float32: for one patch in 20,000 of bottle's
# they are to 1e-6. Which is found then depends on the order of summation, and the patch's score
# changes by the ratio of their weights. After the blur that is a spot of a hundredth of the map.
TIED = 0.05  # share of a map that may be such spots


@dataclass(frozen=True)
class ParityReport:
    """An exported file beside its model, on the same decoded pictures one by one.

    Attributes:
        pictures: how many.
        score_difference: largest, as a share of the model's score.
        map_difference: largest of ``map_difference``.
        labels_differ: pictures the two label differently; None without a threshold.
        model_ms, exported_ms: median milliseconds a picture.
    """

    pictures: int
    score_difference: float
    map_difference: float
    labels_differ: int | None
    model_ms: float
    exported_ms: float

    def check(self, name: Path, tolerance: float, advice: str = "") -> None:
        """Stop where scores or maps differ by more than ``tolerance``, or any label differs.

        Args:
            name: of the file.
            tolerance: of either difference.
            advice: what to add to the error.

        Raises:
            ExportError: they do.
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
    """Score pictures with both.

    Args:
        detector: the model.
        run: what was exported from it.
        threshold: of the labels.
        pictures: at least one.
        progress: see ``fit``.

    Raises:
        ImageError: a picture that cannot be read.
    """
    done, total = 0, 2 * len(pictures)

    def timed(call: Callable[[Levels], T]) -> Iterator[tuple[T, float]]:
        nonlocal done
        for number, path in enumerate(pictures):
            levels, _ = read_levels(path, min_decode_side=detector.preprocessing.min_decode_side)
            if number == 0:
                call(levels)  # the first call is slower
            started = time.perf_counter()
            result = call(levels)
            yield result, (time.perf_counter() - started) * 1e3
            done += 1
            progress("compare", done, total)

    # One after the other: the threads of either wait busily for a while, on the other's cores.
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
    """What all but ``TIED`` of the pixels differ by at most, as a share of the second's peak."""
    exceeded = np.quantile(np.abs(one - other), 1 - TIED)
    return float(exceeded / max(float(other.max()), TINY))
