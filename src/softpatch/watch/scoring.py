"""Scoring the images that arrive: by a model, or by an exported file without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from softpatch.errors import ImageError, ModelFileError
from softpatch.runtime.prediction import Prediction

if TYPE_CHECKING:
    from softpatch.detectors import Detector

# (path, whether to draw) -> prediction, and heat map as the content of a PNG file.
# Raises ImageError for an image that cannot be read.
Scorer = Callable[[Path, bool], tuple[Prediction, bytes | None]]
EXPORTED = (".onnx", ".xml")


def by_model(detector: Detector) -> Scorer:
    """Score with a fitted detector."""
    from softpatch.predictions.overlays import overlay
    from softpatch.runtime.heatmap import png_bytes

    def score(path: Path, draw: bool) -> tuple[Prediction, bytes | None]:
        prediction = detector.predict(path)
        if not draw:
            return prediction, None
        return prediction, png_bytes(overlay(path, prediction, detector.normal_limit_))

    return score


def by_exported(file: Path) -> Scorer:
    """Score with a file that ``softpatch export`` wrote, through ``softpatch_runtime``.

    Raises:
        ModelFileError: the file cannot be used, or ``softpatch_runtime`` is not installed.
    """
    try:
        import softpatch.runtime as softpatch_runtime
        from softpatch.runtime.heatmap import overlay, png_bytes
    except ImportError as error:
        raise ModelFileError(f"{file}: needs softpatch-runtime: pip install ./runtime") from error
    try:
        detector = softpatch_runtime.Detector(file)
    except softpatch_runtime.ModelFileError as error:
        raise ModelFileError(str(error)) from error

    def score(path: Path, draw: bool) -> tuple[Prediction, bytes | None]:
        try:
            record = detector.predict(path)
            drawing = overlay(str(path), record, detector.normal_limit) if draw else None
        except softpatch_runtime.ImageError as error:
            raise ImageError(error.name, error.reason) from error
        return Prediction(**vars(record)), None if drawing is None else png_bytes(drawing)

    return score
