"""What is done about noise: how it is scored, how much stays out, whether the bank is softened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from softpatch.noise.discriminators import (
    Discriminator,
    Tau,
    discriminator_name,
    make_discriminator,
)

AUTO: Literal["auto"] = "auto"
DEVIATIONS = 2.0  # above the median of log W, from which a patch is noise
UPPER_QUARTILE = 0.6745  # standard deviations that a normal law's is above its median


@dataclass(frozen=True)
class NoiseOptions:
    """What a user has chosen of it; None and ``auto`` leave a choice open. See ``SoftPatch``."""

    discriminator: str | Discriminator
    k: int
    tau: Tau | None
    denoise: bool
    soft_weight: bool | None
    references: int
    seed: int


@dataclass(frozen=True)
class NoisePolicy:
    """The choices that go together.

    Attributes:
        name: of the discriminator, as options and model files have it.
        discriminator: what the outlier scores W are.
        tau: how many of the patches stay out of the bank, see ``noise_threshold``.
        soft_weight: whether W softens what is in the bank.
        denoise: False keeps every patch.
    """

    name: str
    discriminator: Discriminator
    tau: Tau
    soft_weight: bool
    denoise: bool

    @classmethod
    def choose(cls, options: NoiseOptions) -> Self:
        """The choices that were made, and for those left open what goes well with them.

        Args:
            options: see there; the discriminator says which tau and weights go with it.

        Raises:
            UsageError: an unknown discriminator, or options that it does not take.
        """
        chosen = options.discriminator
        if isinstance(chosen, str):
            chosen = make_discriminator(chosen, options.k, options.references, options.seed)
        return cls(
            name=discriminator_name(chosen),
            discriminator=chosen,
            tau=chosen.tau if options.tau is None else options.tau,
            soft_weight=chosen.soft_weight if options.soft_weight is None else options.soft_weight,
            denoise=options.denoise,
        )

    def cutoff(self, outlier: Tensor) -> float:
        """The W above which patches stay out of the bank; of outlier scores of any shape."""
        if not self.denoise:
            return math.inf
        return noise_threshold(outlier.flatten().cpu().numpy(), self.tau)

    def weights(self, outlier: Tensor) -> Tensor:
        """With which vectors of these outlier scores are in the bank."""
        return outlier if self.soft_weight else torch.ones_like(outlier)


def noise_threshold(outlier: npt.NDArray[np.float32], tau: Tau) -> float:
    """The W above which patches stay out of the memory bank.

    A share tau (paper, eq. 6) costs clean data that many good patches, and lets noise in where
    there is more of it. ``auto`` lays a normal law through the median and the upper quartile of
    log W, which noise does not reach as long as it is less than a quarter of all patches, and cuts
    what lies two standard deviations above the median. See docs/audit.md for what that cuts.

    Args:
        outlier: ``(n,)`` outlier scores, above 0.
        tau: share of patches that are noise, or ``auto``.
    """
    if tau != "auto":
        return float(np.quantile(outlier, 1 - tau))
    median, upper = np.quantile(outlier, [0.5, 0.75])
    deviations = DEVIATIONS / UPPER_QUARTILE * math.log(upper / median)
    return float(median) * math.exp(deviations)
