"""Looks: what people say of the training pictures that a limit rests on.

The largest held-out scores decide where the limit is, and bad pictures have large ones. A limit
that rests on them misses defects; it stops no more good parts than it promises. To take out what
looks bad takes out good ones, too, and breaks the promise; to ask about the largest and take out
the bad ones does not (Bashari, Sesia and Romano, ICML 2025, arXiv 2502.04807, label-trim).

Of n pictures that are left let k be bad: for a limit at the r-th largest score, r / (n + 1) is
promised, and no more than r / (n - k + 1) of good pictures exceed it, whatever the k score.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LOOKS = 12  # at a time


def to_look_at(
    scores: npt.NDArray[np.floating], looked_at: npt.NDArray[np.bool_], count: int = LOOKS
) -> list[int]:
    """Which pictures a look would tell most of: those with the largest scores, in this order.

    Args:
        scores: ``(n,)`` held-out scores.
        looked_at: ``(n,)``, those that people have called good.
        count: how many, at most.
    """
    order = np.argsort(-scores, kind="stable")
    return [int(at) for at in order[~looked_at[order]][:count]]
