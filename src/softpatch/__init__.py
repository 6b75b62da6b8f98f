"""softpatch: visual anomaly detection for people who cannot promise clean training data.

>>> import softpatch                                      # doctest: +SKIP
>>> model = softpatch.SoftPatch().fit("photos/")          # doctest: +SKIP
>>> model.suspects()[:10]                                 # doctest: +SKIP
>>> model.predict("new.png").score                        # doctest: +SKIP
>>> model.save("part.softpatch")                          # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from softpatch._version import __version__ as __version__

if TYPE_CHECKING:
    from softpatch.auditing.audit import Audit, audit
    from softpatch.detectors import (
        BankDetector,
        Detector,
        PaDiM,
        PatchCore,
        RandomBank,
        RandomEnsemble,
        SoftPatch,
        make_detector,
    )
    from softpatch.detectors.load import load
    from softpatch.detectors.merge import merge
    from softpatch.errors import (
        BackboneError,
        BusyError,
        ClusterError,
        DatasetError,
        ExportError,
        ImageError,
        MissingExtraError,
        ModelFileError,
        NotFittedError,
        OutOfMemoryError,
        ScratchError,
        SoftPatchError,
        UnusableImageError,
        UsageError,
    )
    from softpatch.fleet.fleet import Fleet, fit_many
    from softpatch.images.sources import UnreadableImageWarning, fail_unreadable, warn_unreadable
    from softpatch.noise.discriminators import Discriminator
    from softpatch.runtime.prediction import Prediction

# Loaded on first use: importing torch takes seconds, `softpatch --help` should not.
_HOMES = {
    "Audit": "auditing.audit",
    "BackboneError": "errors",
    "BankDetector": "detectors",
    "BusyError": "errors",
    "ClusterError": "errors",
    "DatasetError": "errors",
    "Detector": "detectors",
    "Discriminator": "noise.discriminators",
    "ExportError": "errors",
    "Fleet": "fleet.fleet",
    "ImageError": "errors",
    "MissingExtraError": "errors",
    "ModelFileError": "errors",
    "NotFittedError": "errors",
    "OutOfMemoryError": "errors",
    "PaDiM": "detectors",
    "PatchCore": "detectors",
    "Prediction": "runtime.prediction",
    "RandomBank": "detectors",
    "RandomEnsemble": "detectors",
    "ScratchError": "errors",
    "SoftPatch": "detectors",
    "SoftPatchError": "errors",
    "UnreadableImageWarning": "images.sources",
    "UnusableImageError": "errors",
    "UsageError": "errors",
    "audit": "auditing.audit",
    "fail_unreadable": "images.sources",
    "fit_many": "fleet.fleet",
    "load": "detectors.load",
    "make_detector": "detectors",
    "merge": "detectors.merge",
    "warn_unreadable": "images.sources",
}

__all__ = [
    "Audit",
    "BackboneError",
    "BankDetector",
    "BusyError",
    "ClusterError",
    "DatasetError",
    "Detector",
    "Discriminator",
    "ExportError",
    "Fleet",
    "ImageError",
    "MissingExtraError",
    "ModelFileError",
    "NotFittedError",
    "OutOfMemoryError",
    "PaDiM",
    "PatchCore",
    "Prediction",
    "RandomBank",
    "RandomEnsemble",
    "ScratchError",
    "SoftPatch",
    "SoftPatchError",
    "UnreadableImageWarning",
    "UnusableImageError",
    "UsageError",
    "audit",
    "fail_unreadable",
    "fit_many",
    "load",
    "make_detector",
    "merge",
    "warn_unreadable",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"softpatch.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'softpatch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
