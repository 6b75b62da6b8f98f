"""Open a model file as the detector it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from softpatch.detectors import METHODS, Detector
from softpatch.errors import ModelFileError
from softpatch.storage import model_file


def load(
    path: str | Path,
    *,
    device: str = "auto",
    weights: str | None = None,
    batch_size: int | None = None,
) -> Detector:
    """Load a fitted detector.

    Args:
        path: a file written by ``save``.
        device: see ``CommonOptions``.
        weights: where the backbone's checkpoint lies now, if it was a local file.
        batch_size: see ``CommonOptions``.

    Raises:
        ModelFileError: cut, foreign, newer or hostile file, or other backbone weights.
        BackboneError: the backbone's weights cannot be had here.
    """
    path = Path(path)
    header, state = model_file.read(path)
    run = {"device": device, "weights": weights, "batch_size": batch_size}
    return restore(path, header, state, run)


def restore(
    path: Path, header: dict[str, Any], state: dict[str, Tensor], run: dict[str, Any]
) -> Detector:
    """``load`` from what ``model_file.read`` gave; ``run`` is its other arguments."""
    kinds = {kind.method: kind for kind, _ in METHODS.values()}
    method = header.get("method")
    if method not in kinds:  # a string, as the header was checked
        raise ModelFileError(f"{path}: unknown method {method!r}")
    return kinds[method]._load(path, header, state, dict(run))
