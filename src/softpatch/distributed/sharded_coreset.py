"""A coreset of patches that no machine holds: greedy in every shard, and again among its picks.

What such a bank is worth is measured, not assumed. The farthest-first rule gives m + 1 patches that
lie at least s apart; two of them share the nearest vector of any bank of m, so that no bank of m
vectors covers all patches within less than s / 2. With r the distance of the worst covered patch
to the bank that was picked, r = s + (r - s) <= 2 OPT + (r - s). (That composing greedy picks
keeps a constant factor is due to Malkomes et al. 2015; r and s say by how much it does here.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.memory_bank import MemoryBank
from softpatch.compute.progress import Progress
from softpatch.distributed.blocks import Blocks, Floats, concatenated

# Picks of a shard, in shares of the bank: some shards need more of the bank than others.
OVERSAMPLED = 4


@dataclass(frozen=True)
class Coverage:
    """How well a bank of m vectors covers the patches that it stands for.

    Attributes:
        radius: of the patch farthest from the bank, its distance.
        separation: least distance of m + 1 patches; at most twice the radius of the best bank of
            m vectors. 0 where there are no m + 1 different ones.
    """

    radius: float
    separation: float

    @property
    def slack(self) -> float:
        """``radius <= 2 OPT + slack``."""
        return max(0.0, self.radius - self.separation)


def sharded_coreset(
    blocks: Blocks, eligible: Tensor, size: int, seed: int, progress: Progress
) -> tuple[Tensor, Coverage]:
    """Pick m patches farthest-first, block by block and then among those picked.

    Those that are not ``(M, P)`` bool ``eligible`` are neither picked nor covered.

    Returns:
        ``(m,)`` indices into the M * P patches, and how well they cover.
    """
    share = min(size + 1, -(-OVERSAMPLED * (size + 1) // len(blocks.positions)))
    picked, vectors = [], []
    for block, (index, patches) in blocks.each(_pick, share, seed, eligible=eligible):
        width = block.stop - block.start
        places = torch.from_numpy(index.copy())
        image, place = places // width, places % width
        picked.append(image * blocks.shape[1] + block.start + place)
        vectors.append(torch.from_numpy(patches.copy()))
        progress("shards", block.stop, blocks.shape[1])
    every, order = torch.cat(picked).sort()
    candidates = torch.cat(vectors)[order]
    chosen = greedy_coreset(candidates, size + 1, seed=seed, progress=progress)
    bank = chosen[:size]
    radius = 0.0
    for block, worst in blocks.each(_radius, candidates[bank].numpy(), eligible=eligible):
        radius = max(radius, worst)
        progress("cover", block.stop, blocks.shape[1])
    separation = least_distance(candidates[chosen]) if len(chosen) > size else 0.0
    return every[bank], Coverage(radius, separation)


def least_distance(vectors: Tensor) -> float:
    """``(n, D)`` -> distance of the two nearest of them, n at least 2."""
    own = torch.arange(len(vectors))
    nearest, _ = MemoryBank(vectors, torch.ones(len(vectors))).nearest(vectors, (own, own))
    return float(nearest.min())


def _pick(
    eligible: npt.NDArray[np.bool_], size: int, seed: int, *parts: Floats
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Indices into ``eligible``, and those patches."""
    patches = concatenated(parts).flatten(0, 1)
    allowed = torch.from_numpy(eligible.copy()).flatten()
    if not allowed.any():
        return np.empty(0, np.int64), patches[:0].numpy()
    picks = greedy_coreset(patches, size, eligible=allowed, seed=seed)
    return picks.numpy(), patches[picks].numpy()


def _radius(eligible: npt.NDArray[np.bool_], bank: Floats, *parts: Floats) -> float:
    """Distance of the eligible patch of a shard that is farthest from the bank."""
    covered = concatenated(parts)[torch.from_numpy(eligible.copy())]
    if not len(covered):
        return 0.0
    vectors = torch.from_numpy(bank.copy())
    return float(MemoryBank(vectors, torch.ones(len(vectors))).nearest(covered)[0].max())
