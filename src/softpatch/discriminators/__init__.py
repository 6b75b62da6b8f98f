"""Noise discriminators: an outlier score for every training patch (METHOD: noise discriminators).

A discriminator compares each patch with the patches at the same grid position of the other
images. All follow one protocol, so a new one is one file and one line here.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from softpatch.discriminators.fused import Fused
from softpatch.discriminators.gaussian import Gaussian
from softpatch.discriminators.lof import LocalOutlierFactor
from softpatch.discriminators.nearest import Nearest
from softpatch.discriminators.positions import REFERENCES
from softpatch.errors import UsageError
from softpatch.progress import Progress, silent

__all__ = [
    "DISCRIMINATORS",
    "Discriminator",
    "Fused",
    "Gaussian",
    "LocalOutlierFactor",
    "Nearest",
    "make_discriminator",
]

DISCRIMINATORS = ("lof", "nearest", "gaussian", "fused")


class Discriminator(Protocol):
    """``(P, N, D)`` patches -> ``(P, N)`` float32 outlier scores W, all > 0, larger = odder."""

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """Score N images' patches at each of P positions."""
        ...


def make_discriminator(
    name: str, k: int, references: int = REFERENCES, seed: int = 0
) -> Discriminator:
    """``lof`` (with k neighbours), ``nearest``, ``gaussian`` or ``fused`` (also with k).

    ``references`` and ``seed`` say which images all but ``gaussian`` compare with.

    Raises:
        UsageError: an unknown name, k below 1 or fewer than 2 references.
    """
    if references < 2:
        raise UsageError(f"at least 2 reference images are needed, got {references}")
    if name == "lof":
        return LocalOutlierFactor(k, references, seed)
    if name == "nearest":
        return Nearest(references, seed)
    if name == "gaussian":
        return Gaussian()
    if name == "fused":
        return Fused(k, references, seed)
    raise UsageError(f"discriminator {name!r} is none of {', '.join(DISCRIMINATORS)}")
