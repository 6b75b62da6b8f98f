"""Noise discriminators: an outlier score for every training patch (METHOD: noise discriminators).

A discriminator compares each patch with the patches of the other images: those at the same grid
position, or those anywhere. All follow one protocol, so a new one is one file and one line here.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor

from softpatch.compute.progress import Progress, silent
from softpatch.errors import UsageError
from softpatch.noise.gaussian import Gaussian
from softpatch.noise.lof import LocalOutlierFactor
from softpatch.noise.lof_distance import LofDistance
from softpatch.noise.nearest import Nearest
from softpatch.noise.neighbors import REFERENCES
from softpatch.noise.position_free import PositionFree

__all__ = [
    "DISCRIMINATORS",
    "Discriminator",
    "Gaussian",
    "LocalOutlierFactor",
    "LofDistance",
    "Nearest",
    "PositionFree",
    "make_discriminator",
]

DISCRIMINATORS = ("lof", "nearest", "gaussian", "fused", "anywhere")


class Discriminator(Protocol):
    """``(P, N, D)`` patches -> ``(P, N)`` float32 outlier scores W, all > 0, larger = odder.

    Attributes:
        by_position: whether a position's scores depend on that position alone.
    """

    by_position: ClassVar[bool]

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """Score N images' patches at each of P positions."""
        ...


def make_discriminator(
    name: str, k: int, references: int = REFERENCES, seed: int = 0
) -> Discriminator:
    """``lof`` (with k neighbours), ``nearest``, ``gaussian``, ``fused`` (with k) or ``anywhere``.

    ``references`` and ``seed`` say which images all but ``gaussian`` compare with.

    Raises:
        UsageError: an unknown name, k below 1 or fewer than 2 references.
    """
    if references < 2:
        raise UsageError(f"at least 2 reference images are needed, got {references}")
    known: dict[str, Discriminator] = {
        "lof": LocalOutlierFactor(k, references, seed),
        "nearest": Nearest(references, seed),
        "gaussian": Gaussian(),
        "fused": LofDistance(k, references, seed),
        "anywhere": PositionFree(references, seed),
    }
    if name not in known:
        raise UsageError(f"discriminator {name!r} is none of {', '.join(DISCRIMINATORS)}")
    return known[name]
