"""Which training patches are noise: those whose outlier score W is above a threshold."""

from __future__ import annotations

import math
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
