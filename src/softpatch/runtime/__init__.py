"""Runs what ``softpatch export`` wrote, without torch; softpatch is built on the same modules.

The distribution softpatch-runtime is this folder as ``softpatch_runtime``, so modules here import
each other relatively, and nothing else of softpatch.

>>> from softpatch_runtime import Detector                    # doctest: +SKIP
>>> Detector("part.onnx").predict("new.png").score            # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import DatasetError, ImageError, ModelFileError, RuntimeFault, UsageError

if TYPE_CHECKING:
    from .detector import Detector
    from .prediction import Prediction

__all__ = [
    "DatasetError",
    "Detector",
    "ImageError",
    "ModelFileError",
    "Prediction",
    "RuntimeFault",
    "UsageError",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in ("Detector", "Prediction"):  # on first use: errors and `--help` need no numpy
        return getattr(importlib.import_module(f".{name.lower()}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
