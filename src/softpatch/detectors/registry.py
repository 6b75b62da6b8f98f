"""The detectors by the names that the command line has for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from softpatch.detectors.base import Detector
from softpatch.detectors.padim import PaDiM
from softpatch.detectors.patchcore import PatchCore
from softpatch.detectors.random_bank import RandomBank
from softpatch.detectors.random_ensemble import RandomEnsemble
from softpatch.detectors.softpatch import SoftPatch
from softpatch.errors import UsageError
from softpatch.noise.discriminators import DISCRIMINATORS, current_name

# name -> class and the options the name stands for
METHODS: Mapping[str, tuple[type[Detector], Mapping[str, Any]]] = MappingProxyType(
    {
        "softpatch": (SoftPatch, {}),
        **{f"softpatch-{name}": (SoftPatch, {"discriminator": name}) for name in DISCRIMINATORS},
        "patchcore": (PatchCore, {}),
        "padim": (PaDiM, {}),
        "random-bank": (RandomBank, {}),
        "random-ensemble": (RandomEnsemble, {}),
    }
)


def no_threshold(method: str) -> dict[str, Any]:
    """The option, where a method has it, that spares an evaluation the scores of a threshold."""
    able = method in METHODS and "max_false_alarms" in METHODS[method][0].option_names()
    return {"max_false_alarms": None} if able else {}


def make_detector(method: str, **options: Any) -> Detector:
    """Build a detector by its name; options the method does not have are errors.

    Raises:
        UsageError: unknown method or option.
    """
    first, short, name = method.partition("softpatch-")
    method = f"{first}{short}{current_name(name)}"
    if method not in METHODS:
        raise UsageError(f"no method is called {method!r}; there are {', '.join(METHODS)}")
    kind, implied = METHODS[method]
    for option in options:
        if option not in kind.option_names():
            raise UsageError(f"{method} has no option {option.replace('_', '-')!r}")
    return kind(**{**implied, **options})
