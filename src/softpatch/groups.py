"""Groups of near vectors: what is far from a group's ball is far from all of its members."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from softpatch.memory import chunks, trim
from softpatch.selection import smallest_of_rows

GROUP_SIZE = 512  # on average; 128 prune 4 pairs of 100 more and cost more in small steps
MOST_GROUPS = 2048
ROUNDS = 5  # of k-means; groups need not be good, only tight
SAMPLED = 32  # vectors a group k-means looks at


def order_by_nearness(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Order ``(n, q)`` vectors group by group, by a few rounds of k-means.

    Returns:
        ``(n,)`` int64 order of the vectors, the same for the same vectors, and ``(g + 1,)`` int64
        starts: group i is the vectors ``starts[i]`` to ``starts[i + 1]`` in that order.
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
    sizes = torch.bincount(membership, minlength=count)
    starts = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    return membership.argsort(stable=True), starts


def _nearest_centre(vectors: Tensor, centres: Tensor) -> Tensor:
    nearest = torch.empty(len(vectors), dtype=torch.long, device=vectors.device)
    norms = centres.square().sum(dim=1)
    for chunk in chunks(len(vectors), bytes_per_item=len(centres) * 4):
        distances = torch.addmm(norms, vectors[chunk], centres.T, alpha=-2)
        nearest[chunk] = smallest_of_rows(distances)
    return nearest


@dataclass(frozen=True)
class Groups:
    """Consecutive runs of vectors, each within a ball.

    Attributes:
        starts: where each begins, and the end of the last.
        centres: ``(g, q)`` of the balls.
        radii: ``(g,)`` of the balls; 0 where nobody is in it.
    """

    starts: list[int]
    centres: Tensor
    radii: Tensor

    @classmethod
    def of(cls, vectors: Tensor, starts: Tensor) -> Groups:
        """Find the balls of ``(n, q)`` vectors in order."""
        centres = vectors.new_zeros(len(starts) - 1, vectors.shape[1])
        groups = cls(starts.tolist(), centres, vectors.new_zeros(len(centres)))
        for group in range(len(centres)):
            inside = vectors[groups.members(group)]
            if len(inside):
                centres[group] = inside.mean(dim=0)
                off_centre = torch.linalg.vector_norm(inside - centres[group], dim=1)
                groups.radii[group] = off_centre.max()
            trim()
        return groups

    def members(self, group: int) -> slice:
        """Which vectors are in it."""
        return slice(self.starts[group], self.starts[group + 1])

    def largest(self, values: Tensor) -> Tensor:
        """``(n,)`` -> ``(g,)`` the largest of each group's; 0 where nobody is in it."""
        sizes = torch.tensor(self.starts, device=values.device).diff()
        membership = torch.arange(len(sizes), device=values.device).repeat_interleave(sizes)
        return values.new_zeros(len(sizes)).scatter_reduce_(0, membership, values, "amax")
