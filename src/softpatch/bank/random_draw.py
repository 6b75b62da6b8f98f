"""A random draw: the simplest rule for what a memory bank holds, and one that knows no noise.

Farthest-first (``softpatch.bank.coreset``) picks what is odd before what is usual; a uniform draw
holds what is odd as seldom as the training patches do, and so mostly what is usual.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def random_draw(count: int, size: int, seed: int, number: int = 0) -> Tensor:
    """Draw ``size`` of ``count`` things without replacement, every set of them equally likely.

    Args:
        count: how many there are; the time and memory taken do not grow with it where the draw is
            a small share of them.
        size: how many are drawn; all, if there are fewer.
        seed: of the draw, at least 0.
        number: of the draw among several with one seed, which do not depend on each other.

    Returns:
        ``(min(size, count),)`` int64 indices, ascending.
    """
    random = np.random.default_rng([seed, number])
    drawn = random.choice(count, min(size, count), replace=False, shuffle=False)
    return torch.from_numpy(np.sort(drawn).astype(np.int64))
