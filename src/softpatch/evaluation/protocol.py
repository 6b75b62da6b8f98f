"""Fit on a contaminated training set, predict the test set, measure."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from softpatch.compute.progress import Progress, silent
from softpatch.datasets import Contamination, require_marks
from softpatch.detectors import Detector, SoftPatch
from softpatch.evaluation import metrics
from softpatch.evaluation.measurement import Measurement
from softpatch.evaluation.row import Costs, Evaluation
from softpatch.images.sources import Images, OnUnreadable, fail_unreadable
from softpatch.runtime.prediction import Prediction

# Predictions that wait to be measured: prediction reads ahead, so taking turns image by image
# would hide the reading of test images in the measuring, which is not timed.
WAITING = 256


def evaluate(
    method: str,
    detector: Detector,
    contamination: Contamination,
    *,
    pixel_at: str = "input",
    keep: bool = True,
    allow_empty_masks: bool = False,
    on_unreadable: OnUnreadable = fail_unreadable,
    progress: Progress = silent,
) -> tuple[Evaluation, list[Prediction]]:
    """Fit and measure one detector.

    Args:
        method: the name to report.
        detector: not yet fitted; it is fitted here.
        contamination: training and test images.
        pixel_at: see ``Measurement``.
        keep: return the predictions; without them memory does not grow with the test set.
        allow_empty_masks: see ``require_marks``, which comes before the fit.
        on_unreadable: see ``Detector.fit``.
        progress: see ``Detector.fit``; prediction reports as ``predict``.

    Returns:
        the row, and the predictions of the readable test images if they are to be kept.

    Raises:
        DatasetError, ImageError: a mask that cannot be used, or training images that cannot.
    """
    measurement = Measurement(detector, contamination.test, pixel_at)
    require_marks(contamination.category, allow_empty_masks)
    kept: list[Prediction] = []

    def take(prediction: Prediction) -> None:
        measurement.add(prediction)
        if keep:
            kept.append(prediction)

    tested = [sample.path for sample in contamination.test]
    costs = fit_and_predict(
        detector, contamination.train, tested, take, on_unreadable=on_unreadable, progress=progress
    )
    return measure(method, detector, contamination, measurement, costs), kept


def fit_and_predict(
    detector: Detector,
    training: Images,
    test: Sequence[Path],
    take: Callable[[Prediction], None],
    *,
    on_unreadable: OnUnreadable = fail_unreadable,
    progress: Progress = silent,
) -> Costs:
    """Fit, pass the prediction of each readable test image to ``take``, return the cost of both.

    What ``take`` does is not counted. See ``evaluate`` for the arguments.
    """
    started = time.perf_counter()
    detector.fit(training, on_unreadable=on_unreadable, progress=progress)
    fit_seconds = time.perf_counter() - started

    found = detector.predict(test, on_unreadable=on_unreadable, refuse_unusable=False)
    pending = iter(found)
    count, predict_seconds, peak_memory = 0, 0.0, None
    while True:
        started = time.perf_counter()
        waiting = []
        for prediction in islice(pending, WAITING):
            waiting.append(prediction)
            progress("predict", count + len(waiting), len(test))
        predict_seconds += time.perf_counter() - started
        if count == 0:
            peak_memory = peak_memory_mb()  # before the metrics, which are not the detector's
        if not waiting:
            return Costs(fit_seconds, predict_seconds / max(1, count), peak_memory)
        count += len(waiting)
        for prediction in waiting:
            take(prediction)


def measure(
    method: str,
    detector: Detector,
    contamination: Contamination,
    measurement: Measurement,
    costs: Costs,
) -> Evaluation:
    """The row of a detector that is fitted and whose predictions ``measurement`` has taken."""
    return Evaluation(
        method=method,
        category=contamination.category.name,
        noise=contamination.noise,
        policy=contamination.policy,
        seed=detector.seed,
        n_train=len(detector.image_names_),
        n_injected=len(contamination.injected),
        n_test=len(measurement.labels),
        **measurement.metrics(),
        **measurement.at_the_limit(),
        fit_seconds=costs.fit_seconds,
        predict_seconds_per_image=costs.predict_seconds_per_image,
        peak_memory_mb=costs.peak_memory_mb,
        kind=contamination.kind,
        pixel_at=measurement.pixel_at,
        audit_auroc=audit_auroc(detector, contamination.injected_names),
        n_test_bad=sum(measurement.labels),
    )


def audit_auroc(detector: Detector, injected: Iterable[str]) -> float | None:
    """AUROC of "this training image was injected" by a fitted detector's suspicion, in [0, 1].

    None for a detector without suspicion, and without injected or clean images.
    """
    if not isinstance(detector, SoftPatch):
        return None
    bad = set(injected)
    labels = np.array([name in bad for name in detector.image_names_], dtype=bool)
    return metrics.auroc(labels, detector.suspicion_.cpu().numpy())


def peak_memory_mb() -> float | None:
    """Largest resident size of this process so far, in MB; None where the system cannot tell."""
    try:
        # Not getrusage, whose maximum a process inherits from the one that started it.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    except (OSError, StopIteration):  # not Linux
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
