"""The detectors, and how the command line names them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from softpatch.detectors.base import Detector
from softpatch.detectors.padim import PaDiM
from softpatch.detectors.patchcore import PatchCore
from softpatch.detectors.softpatch import SoftPatch
from softpatch.errors import UsageError

__all__ = ["METHODS", "Detector", "PaDiM", "PatchCore", "SoftPatch", "make_detector"]

# name -> class and the options the name stands for
METHODS: Mapping[str, tuple[type[Detector], Mapping[str, Any]]] = MappingProxyType(
    {
        "softpatch": (SoftPatch, {}),
        "softpatch-lof": (SoftPatch, {"discriminator": "lof"}),
        "softpatch-nearest": (SoftPatch, {"discriminator": "nearest"}),
        "softpatch-gaussian": (SoftPatch, {"discriminator": "gaussian"}),
        "softpatch-fused": (SoftPatch, {"discriminator": "fused"}),
        "softpatch-anywhere": (SoftPatch, {"discriminator": "anywhere"}),
        "patchcore": (PatchCore, {}),
        "padim": (PaDiM, {}),
    }
)


def make_detector(method: str, **options: Any) -> Detector:
    """Build a detector by its name; options the method does not have are errors.

    Raises:
        UsageError: unknown method or option.
    """
    if method not in METHODS:
        raise UsageError(f"no method is called {method!r}; there are {', '.join(METHODS)}")
    kind, implied = METHODS[method]
    for option in options:
        if option not in kind.option_names():
            raise UsageError(f"{method} has no option {option.replace('_', '-')!r}")
    return kind(**{**implied, **options})
