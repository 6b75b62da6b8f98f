"""Greedy k-center coreset: which patches enter the memory bank (METHOD: denoise, then coreset).

The rule is the plain farthest-first one: pick the patch farthest from all picks so far, update
everyone's distance, repeat. Done literally that is one pass over all n patches a pick (412 s for
16.4k picks of 164k patches on 2 cores). The picks here are the same, found lazily:

* *Blocks.* Distances only shrink, so a stale distance is an upper bound. Take the B patches with
  the largest distances, run the rule inside that block on exact pairwise distances for as long as
  the block's best beats everything outside it, then update everyone for all those picks at once.
* *Half-radius rule.* A new pick lies at least r (its own distance) from every earlier one, so a
  patch closer than r/2 to its nearest pick cannot get a nearer one (triangle inequality). It
  is left out of the update.
* *Sketch.* Before the D-dimensional distance to a new pick is computed, the distance of the
  sketches, a lower bound, rules nearly all pairs out (see ``sketch``).

What decides a pick is always a float64 distance, so that the picks do not depend on block, chunk or
thread count.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from softpatch.errors import UsageError
from softpatch.memory import chunks
from softpatch.progress import Progress, silent
from softpatch.sketch import ROUNDING, Sketch, pair_distances

STARTING_PATCHES = 10  # the paper's: first distances are means over this many random patches
BLOCK = 512


def greedy_coreset(
    patches: Tensor,
    size: int,
    *,
    eligible: Tensor | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Tensor:
    """Pick patches farthest-first.

    Args:
        patches: ``(n, D)`` float32.
        size: how many to pick. Fewer are returned when fewer distinct ones are eligible.
        eligible: ``(n,)`` bool; the others are never picked nor covered. All if None.
        seed: draws the ``STARTING_PATCHES`` whose mean distance starts the rule.
        progress: told how many are picked.

    Returns:
        ``(size,)`` int64 indices into ``patches``, in the order picked. Equal distances go to
        the lower index.

    Raises:
        UsageError: no eligible patch, or size below 1.
    """
    if patches.ndim != 2:
        raise UsageError(f"patches must be (n, D), got shape {tuple(patches.shape)}")
    if size < 1:
        raise UsageError(f"the coreset must hold at least 1 patch, got {size}")
    everyone = torch.arange(len(patches), device=patches.device)
    members = everyone if eligible is None else everyone[eligible]
    if len(members) == 0:
        raise UsageError("no patch may enter the coreset: everything was rejected as an outlier")
    return _LazyGreedy(patches, members, seed).run(size, progress)


class _LazyGreedy:
    """State of one run; ``distance`` is the float64 distance of every member to the picks."""

    def __init__(self, patches: Tensor, members: Tensor, seed: int) -> None:
        self.patches = patches
        self.members = members  # (e,) indices of the eligible patches
        self.sketch = Sketch(patches)(patches, members)  # (e, q + 1)
        self.sketch_norm = self.sketch.square().sum(dim=1)
        self.slack = ROUNDING * float(self.sketch_norm.max())
        generator = torch.Generator().manual_seed(seed)
        start = torch.randperm(len(members), generator=generator)[:STARTING_PATCHES]
        self.distance = self._mean_distance(start.to(members.device))
        # The half-radius rule needs the distance to be that of a pick, not the starting mean.
        self.has_pick = torch.zeros_like(self.members, dtype=torch.bool)

    def run(self, size: int, progress: Progress) -> Tensor:
        size = min(size, len(self.members))
        picks: list[Tensor] = []
        found = 0
        while found < size:
            block, outside = self._farthest_block()
            chosen, radius = self._greedy_within(block, outside, size - found)
            if len(chosen) == 0:
                break  # every eligible patch equals a pick
            picks.append(chosen)
            found += len(chosen)
            self._update(chosen, radius)
            progress("coreset", found, size)
        progress("coreset", size, size)
        return self.members[torch.cat(picks)]

    def _farthest_block(self) -> tuple[Tensor, float]:
        """The ``BLOCK`` farthest members in index order, and the best distance outside them."""
        count = min(BLOCK, len(self.distance))
        if count == len(self.distance):
            return torch.arange(count, device=self.distance.device), -1.0
        least = self.distance.topk(count + 1).values[-1]
        block = (self.distance > least).nonzero().flatten()
        ties = (self.distance == least).nonzero().flatten()[: count - len(block)]
        return torch.cat([block, ties]).sort().values, float(least)

    def _greedy_within(self, block: Tensor, outside: float, limit: int) -> tuple[Tensor, float]:
        """Run the rule inside the block while its best beats everything outside."""
        pairwise = _pairwise(self.patches[self.members[block]].double()).cpu().numpy()
        distance = self.distance[block].cpu().numpy().copy()
        chosen: list[int] = []
        radius = 0.0
        while len(chosen) < limit:
            best = int(distance.argmax())
            # The first of a block is the best of all; later ones must not tie with the outside,
            # where a lower index might wait. At distance 0 only copies of picks are left.
            if chosen and distance[best] <= outside:
                break
            if distance[best] == 0 and (chosen or self.has_pick.any()):
                break
            radius = float(distance[best])
            chosen.append(best)
            np.minimum(distance, pairwise[best], out=distance)
        return block[torch.tensor(chosen, dtype=torch.long, device=block.device)], radius

    def _update(self, chosen: Tensor, radius: float) -> None:
        """Bring every member's distance up to date with the new picks."""
        self.distance[chosen] = 0.0
        self.has_pick[chosen] = True
        reachable = ~(self.has_pick & (self.distance <= radius / 2 * (1 - 1e-12)))
        rows = reachable.nonzero().flatten()
        new_sketch = self.sketch[chosen]
        new_norm = self.sketch_norm[chosen]
        for chunk in chunks(len(rows), bytes_per_item=len(chosen) * 4):
            row = rows[chunk]
            # |x - z|^2 - |x|^2 of the sketches, at most that of the patches themselves
            bound = torch.addmm(new_norm, self.sketch[row], new_sketch.T, alpha=-2)
            # Most often the nearest sketch is the nearest pick, and rules out all the others.
            least, nearest = bound.min(dim=1)
            near = (least < self._limit(row)).nonzero().flatten()
            row, bound, nearest = row[near], bound[near], nearest[near]
            self._improve(row, chosen[nearest])
            bound.scatter_(1, nearest.unsqueeze(1), torch.inf)
            near, other = (bound < self._limit(row).unsqueeze(1)).nonzero(as_tuple=True)
            self._improve(row[near], chosen[other])

    def _limit(self, row: Tensor) -> Tensor:
        """What a sketch bound must stay below for a pick to be possibly nearer."""
        return self.distance[row].square().float() - self.sketch_norm[row] + self.slack

    def _improve(self, member: Tensor, pick: Tensor) -> None:
        """Lower ``distance`` of each member to its exact distance to the pick, where nearer."""
        exact = pair_distances(self.patches, self.members[member], self.patches, self.members[pick])
        self.has_pick[member[exact < self.distance[member]]] = True
        self.distance.scatter_reduce_(0, member, exact, "amin")

    def _mean_distance(self, start: Tensor) -> Tensor:
        """``(e,)`` float64 mean distance of every member to the starting patches."""
        anchors = self.patches[self.members[start]].double()
        means = torch.empty(len(self.members), dtype=torch.float64, device=self.patches.device)
        for chunk in chunks(len(self.members), bytes_per_item=self.patches.shape[1] * 16):
            vectors = self.patches[self.members[chunk]].double()
            means[chunk] = torch.cdist(
                vectors, anchors, compute_mode="donot_use_mm_for_euclid_dist"
            ).mean(dim=1)
        return means


def _pairwise(vectors: Tensor) -> Tensor:
    """``(B, D)`` float64 -> ``(B, B)`` distances; equal vectors have equal rows, 0 apart."""
    vectors = vectors - vectors.mean(dim=0)
    norm = vectors.square().sum(dim=1)
    scale = norm.unsqueeze(1) + norm
    squared = scale - 2 * vectors @ vectors.T
    distances = squared.where(squared > 1e-13 * scale, 0.0).sqrt()
    # Copies differ by the product's rounding, which must not decide which of them is picked.
    first_copy = (distances == 0).int().argmax(dim=1)
    return distances[first_copy][:, first_copy]
