"""Fit on a contaminated training set, predict the test set, measure."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from softpatch.datasets.contamination import Contamination
from softpatch.datasets.samples import Sample
from softpatch.detectors import Detector
from softpatch.errors import DatasetError
from softpatch.evaluation import metrics
from softpatch.images import OnUnreadable, fail_unreadable, read_image
from softpatch.prediction import Prediction
from softpatch.preprocessing import Preprocessing
from softpatch.progress import Progress, silent


@dataclass(frozen=True)
class Evaluation:
    """One row of a results table; metrics lie in [0, 1] and are None where undefined.

    Pixel metrics are taken at the network's input size on the part of the picture it sees, as in
    the paper's protocol.
    """

    method: str
    category: str
    noise: float
    policy: str
    seed: int
    n_train: int
    n_injected: int
    n_test: int
    image_auroc: float | None
    image_ap: float | None
    image_f1max: float | None
    pixel_auroc: float | None
    pixel_ap: float | None
    aupro: float | None
    fit_seconds: float
    predict_seconds_per_image: float
    peak_memory_mb: float | None

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def evaluate(
    method: str,
    detector: Detector,
    contamination: Contamination,
    *,
    on_unreadable: OnUnreadable = fail_unreadable,
    progress: Progress = silent,
) -> tuple[Evaluation, list[Prediction]]:
    """Fit and measure one detector.

    Args:
        method: the name to report.
        detector: not yet fitted; it is fitted here.
        contamination: training and test pictures.
        on_unreadable: see ``Detector.fit``.
        progress: see ``Detector.fit``; prediction reports as ``predict``.

    Returns:
        the row, and the predictions of the readable test pictures.
    """
    started = time.perf_counter()
    detector.fit(contamination.train, on_unreadable=on_unreadable, progress=progress)
    fit_seconds = time.perf_counter() - started

    samples = {str(sample.path): sample for sample in contamination.test}
    paths = [sample.path for sample in contamination.test]
    predictions: list[Prediction] = []
    started = time.perf_counter()
    for prediction in detector.predict(paths, on_unreadable=on_unreadable):
        predictions.append(prediction)
        progress("predict", len(predictions), len(paths))
    predict_seconds = time.perf_counter() - started
    peak_memory = peak_memory_mb()  # before the metrics, which are not the detector's doing

    tested = [samples[prediction.name] for prediction in predictions]
    labels = np.array([sample.defective for sample in tested], dtype=bool)
    scores = np.array([prediction.score for prediction in predictions])
    pixel = _pixel_metrics(tested, predictions, detector.preprocessing)
    row = Evaluation(
        method=method,
        category=contamination.category.name,
        noise=contamination.noise,
        policy=contamination.policy,
        seed=detector.seed,
        n_train=len(detector.images_),
        n_injected=len(contamination.injected),
        n_test=len(predictions),
        image_auroc=metrics.auroc(labels, scores),
        image_ap=metrics.average_precision(labels, scores),
        image_f1max=metrics.f1_max(labels, scores),
        **pixel,
        fit_seconds=fit_seconds,
        predict_seconds_per_image=predict_seconds / max(1, len(predictions)),
        peak_memory_mb=peak_memory,
    )
    return row, predictions


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


def read_mask(sample: Sample, size: tuple[int, int], preprocessing: Preprocessing) -> metrics.Bools:
    """``(h, w)`` bool: the defective pixels in the network's frame.

    Thresholded at its own resolution, then averaged over each pixel of the frame and cut at half.
    """
    if not sample.masks:
        return np.zeros(preprocessing.crop, dtype=bool)
    marked = torch.zeros(1, *size, dtype=torch.bool)
    for path in sample.masks:
        mask = read_image(path)[:1] > sample.mask_threshold / 255
        if mask.shape != marked.shape:
            raise DatasetError(
                f"{path}: is {tuple(mask.shape[1:])} pixels, its picture {size} (height, width)"
            )
        marked |= mask
    framed: metrics.Bools = (preprocessing.frame(marked.float())[0] >= 0.5).numpy()
    return framed


def _pixel_metrics(
    samples: list[Sample], predictions: list[Prediction], preprocessing: Preprocessing
) -> dict[str, float | None]:
    """Over the good pictures and the defective ones that have a mask."""
    masks, maps = [], []
    for sample, prediction in _with_truth(samples, predictions):
        masks.append(read_mask(sample, prediction.size, preprocessing))
        maps.append(prediction.anomaly_map)
    if not masks:
        return {"pixel_auroc": None, "pixel_ap": None, "aupro": None}
    labels = np.concatenate([mask.ravel() for mask in masks])
    scores = np.concatenate([heat.ravel() for heat in maps])
    return {
        "pixel_auroc": metrics.auroc(labels, scores),
        "pixel_ap": metrics.average_precision(labels, scores),
        "aupro": metrics.aupro(masks, maps),
    }


def _with_truth(
    samples: list[Sample], predictions: list[Prediction]
) -> Iterator[tuple[Sample, Prediction]]:
    for sample, prediction in zip(samples, predictions, strict=True):
        if sample.masks or not sample.defective:
            yield sample, prediction
