"""What is done about noise: how it is told, how much stays out, whether the bank is softened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from softpatch.errors import UsageError

Tau = float | Literal["auto"]
DEVIATIONS = 2.0  # above the median of log W, from which a patch is noise
UPPER_QUARTILE = 0.6745  # standard deviations that a normal law's lies above its median


def check_tau(tau: Tau) -> None:
    """Raise UsageError for what is neither ``auto`` nor in [0, 1)."""
    if tau != "auto" and not (isinstance(tau, int | float) and 0 <= tau < 1):
        raise UsageError(f"tau must lie in [0, 1) or be auto, got {tau}")


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


AUTO: Literal["auto"] = "auto"
ALIGNED = 0.9  # alignment from which places in different pictures show the same


@dataclass(frozen=True)
class Strategy:
    """The three choices that go together.

    Attributes:
        discriminator: what the outlier scores W are.
        tau: how many of the patches stay out of the bank, see ``noise_threshold``.
        soft_weight: whether W softens what is in the bank.
    """

    discriminator: str
    tau: Tau
    soft_weight: bool


PAPER = Strategy("lof", 0.15, soft_weight=True)
# Its scores grow with distance, which would soften what is rare and good: 0.01 of pixel AUROC on
# bottle, 0.03 on magnetic tile.
FUSED = Strategy("fused", "auto", soft_weight=False)
ANYWHERE = Strategy("anywhere", 0.15, soft_weight=False)


def strategy_of(
    discriminator: str, tau: Tau | None, soft_weight: bool | None, alignment: float | None
) -> Strategy:
    """The choices that were made, and for those left open what was measured to go well with them.

    Where parts lie in place, distances tell defects from good patches however often they recur,
    and few good patches have to go. Where they do not, a place shows something else in every
    picture: what has its like anywhere in two others stays. See docs/robust.md.

    Args:
        discriminator: by name, or ``auto``: by the alignment.
        tau: None leaves it open.
        soft_weight: None leaves it open.
        alignment: see ``softpatch.noise.alignment``; None is unknown, which counts as not aligned.
    """
    if discriminator == AUTO:
        aligned = alignment is not None and alignment >= ALIGNED
        discriminator = (FUSED if aligned else ANYWHERE).discriminator
    usual = {each.discriminator: each for each in (FUSED, ANYWHERE)}.get(discriminator, PAPER)
    return Strategy(
        discriminator,
        usual.tau if tau is None else tau,
        usual.soft_weight if soft_weight is None else soft_weight,
    )
