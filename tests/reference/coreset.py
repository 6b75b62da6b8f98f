"""METHOD 3, one pick a pass. Float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]


def distances_to(points: Floats, point: Floats) -> Floats:
    """``(n, D)``, ``(D,)`` -> ``(n,)``, from differences: nothing cancels."""
    some = np.array_split(points, len(points) // 100 + 1)  # 100 at a time stay in the cache
    return np.concatenate([np.linalg.norm(rows - point, axis=1) for rows in some])


def greedy_k_center(
    patches: Tensor, size: int, eligible: Tensor | None = None, seed: int = 0
) -> list[int]:
    """Farthest-first among the eligible, until ``size`` are picked or every patch is a pick."""
    members = np.arange(len(patches)) if eligible is None else np.flatnonzero(eligible.numpy())
    points = patches.numpy().astype(np.float64)[members]
    order = torch.randperm(len(members), generator=torch.Generator().manual_seed(seed))
    start = order[:10].tolist()
    distance = np.stack([distances_to(points, points[s]) for s in start], axis=1).mean(axis=1)
    picks: list[int] = []
    while len(picks) < size:
        best = int(distance.argmax())  # the lowest index of equal ones
        if picks and distance[best] == 0:
            break
        picks.append(best)
        distance = np.minimum(distance, distances_to(points, points[best]))
    return [int(members[pick]) for pick in picks]
