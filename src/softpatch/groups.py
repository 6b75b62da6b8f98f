"""Groups of near vectors: what is far from a group's ball is far from all of its members."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from softpatch.memory import chunks

GROUP_SIZE = 512  # on average; 128 prune 4 pairs of 100 more and cost more in small steps
MOST_GROUPS = 2048
ROUNDS = 5  # of k-means; groups need not be good, only tight
SAMPLED = 32  # vectors a group k-means looks at


@dataclass(frozen=True)
class Groups:
    """Consecutive runs of vectors, each within a ball.

    Attributes:
        starts: ``(g + 1,)`` int64; group i is the vectors ``starts[i]`` to ``starts[i + 1]``.
        centres: ``(g, q)`` of the balls.
        radii: ``(g,)`` of the balls.
        membership: ``(n,)`` int64, the group of every vector.
    """

    starts: Tensor
    centres: Tensor
    radii: Tensor
    membership: Tensor


def group_by_nearness(vectors: Tensor) -> tuple[Tensor, Groups]:
    """Order ``(n, q)`` vectors group by group, by a few rounds of k-means.

    Returns:
        ``(n,)`` int64 order of the vectors, the same for the same vectors, and the groups of the
        vectors in that order.
    """
    count = min(MOST_GROUPS, max(1, len(vectors) // GROUP_SIZE))
    sample = vectors[:: max(1, len(vectors) // (SAMPLED * count))]
    centres = sample[:: len(sample) // count][:count].clone()
    for _ in range(ROUNDS):
        membership = _nearest_centre(sample, centres)
        sizes = torch.bincount(membership, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, membership, sample)
        centres = torch.where(sizes.unsqueeze(1) > 0, sums / sizes.unsqueeze(1), centres)
    membership = _nearest_centre(vectors, centres)
    order = membership.argsort(stable=True)
    membership = membership[order]
    radii = torch.zeros(count, device=vectors.device)
    for chunk in chunks(len(vectors), bytes_per_item=vectors.shape[1] * 8):
        group = membership[chunk]
        off_centre = torch.linalg.vector_norm(vectors[order[chunk]] - centres[group], dim=1)
        radii.scatter_reduce_(0, group, off_centre, "amax")
    sizes = torch.bincount(membership, minlength=count)
    starts = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    return order, Groups(starts, centres, radii, membership)


def _nearest_centre(vectors: Tensor, centres: Tensor) -> Tensor:
    nearest = torch.empty(len(vectors), dtype=torch.long, device=vectors.device)
    norms = centres.square().sum(dim=1)
    for chunk in chunks(len(vectors), bytes_per_item=len(centres) * 4):
        nearest[chunk] = torch.addmm(norms, vectors[chunk], centres.T, alpha=-2).argmin(dim=1)
    return nearest
