"""Noise discriminators: an outlier score for every training patch (METHOD: noise discriminators).

A discriminator compares each patch with the patches of the other images: those at the same grid
position, or those at any. A new one is its file and one line here.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from softpatch.compute.progress import Progress, silent
from softpatch.errors import UsageError
from softpatch.noise.gaussian import Gaussian
from softpatch.noise.lof import LocalOutlierFactor
from softpatch.noise.lof_distance import LofDistance
from softpatch.noise.nearest import Nearest
from softpatch.noise.neighbors import REFERENCES
from softpatch.noise.position_free import PositionFree
from softpatch.ranges.table import check_all

Tau = float | Literal["auto"]
LARGEST_SCORE = 1e15  # more would overflow a patch score; W of copies is 1e12


@runtime_checkable
class Discriminator(Protocol):
    """``(P, N, D)`` patches -> ``(P, N)`` float32 outlier scores W, all > 0, larger = odder.

    The patches are everybody's: it must not change them.

    Your own one inherits from this class and adds ``__call__``::

        class Brightest(Discriminator):
            words = "the largest number of a patch"

            def __call__(self, patches, progress=silent):
                return 1 + patches.amax(dim=2).clamp(min=0)

    Attributes:
        words: what W is, in an audit's report.
        by_position: whether a position's scores depend on that position alone. Those that do not
            get coarse features of all positions, averaged over 3 x 3 of them, instead of patches.
        tau: share of patches to keep out of the bank where none is asked for, or ``auto``; see
            ``noise_threshold``.
        soft_weight: whether W softens the bank where nobody says.
    """

    words: ClassVar[str] = "a discriminator of one's own"
    by_position: ClassVar[bool] = True
    tau: ClassVar[Tau] = 0.15
    soft_weight: ClassVar[bool] = True

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """Score N images' patches at each of P positions."""
        ...


DISCRIMINATORS: Mapping[str, type[Discriminator]] = MappingProxyType(
    {
        "lof": LocalOutlierFactor,
        "nearest": Nearest,
        "gaussian": Gaussian,
        "lof-distance": LofDistance,
        "position-free": PositionFree,
    }
)
OLD_NAMES = MappingProxyType({"fused": "lof-distance", "anywhere": "position-free"})


def make_discriminator(
    name: str, k: int = 6, references: int = REFERENCES, seed: int = 0
) -> Discriminator:
    """A discriminator by its name, with those of the options that it takes.

    Raises:
        UsageError: an unknown name, k below 1 or fewer than 2 references.
    """
    check_all(k=k, references=references)
    if name not in DISCRIMINATORS:
        raise UsageError(f"discriminator {name!r} is none of {', '.join(DISCRIMINATORS)}")
    kind: Any = DISCRIMINATORS[name]
    options = {"k": k, "references": references, "seed": seed}
    taken = inspect.signature(kind).parameters
    made: Discriminator = kind(**{key: value for key, value in options.items() if key in taken})
    return made


class Unavailable(Discriminator):
    """Stands for one's own discriminator in a model that was loaded without it."""

    def __init__(self, name: str, by_position: bool, tau: Tau, soft_weight: bool) -> None:
        self.name = name
        self.by_position = by_position  # type: ignore[misc]
        self.tau = tau  # type: ignore[misc]
        self.soft_weight = soft_weight  # type: ignore[misc]

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """Raise UsageError: say what is missing."""
        del patches, progress
        raise UsageError(
            f"the model was fitted with a discriminator of its own, {self.name}; "
            "give it: softpatch.load(path, discriminator=...)"
        )


def outlier_scores(
    discriminator: Discriminator, patches: Tensor, progress: Progress = silent
) -> Tensor:
    """Its scores W of ``(M, P, D)`` patches: ``(M, P)`` float32.

    Raises:
        UsageError: a discriminator of one's own that returned something else.
    """
    by_position = patches.transpose(0, 1)  # (M, P, D) -> (P, M, D)
    scores = discriminator(by_position, progress)
    if type(discriminator) not in DISCRIMINATORS.values():
        scores = _checked(discriminator_name(discriminator), scores, by_position.shape[:2])
    return scores.T.contiguous()  # (P, M) -> (M, P)


def _checked(name: str, scores: object, shape: torch.Size) -> Tensor:
    """What a discriminator of one's own returned, which may be anything, as float32."""
    rule = f"{name}: expected (P, N) outlier scores above 0"
    if not isinstance(scores, Tensor) or scores.shape != shape:
        found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise UsageError(f"{rule}, {tuple(shape)}, got {found}")
    scores = scores.float()
    if not bool(((scores > 0) & (scores <= LARGEST_SCORE)).all()):
        raise UsageError(f"{rule} and at most {LARGEST_SCORE:g}, got others among them")
    return scores


def discriminator_name(discriminator: Discriminator) -> str:
    """Its name in ``DISCRIMINATORS``, or the class with its module where it is one's own."""
    if isinstance(discriminator, Unavailable):
        return discriminator.name
    kind = type(discriminator)
    names = [name for name, known in DISCRIMINATORS.items() if kind is known]
    return names[0] if names else f"{kind.__module__}.{kind.__qualname__}"


def described(discriminator: Discriminator) -> dict[str, Any]:
    """What a model file says of a discriminator of one's own."""
    return {
        "name": discriminator_name(discriminator),
        "by_position": discriminator.by_position,
        "tau": discriminator.tau,
        "soft_weight": discriminator.soft_weight,
    }


def current_name(name: str) -> str:
    """The name of today for one of a version ago, with a warning."""
    if name not in OLD_NAMES:
        return name
    warnings.warn(
        f"discriminator {name!r} is called {OLD_NAMES[name]!r} now; "
        "the old name goes in the next version",
        FutureWarning,
        stacklevel=3,
    )
    return OLD_NAMES[name]
