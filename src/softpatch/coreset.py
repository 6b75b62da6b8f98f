"""Greedy k-center coreset: which patches enter the memory bank (METHOD: denoise, then coreset).

The rule is the plain farthest-first one: pick the patch farthest from all picks so far, update
everyone's distance, repeat. Done literally that is one pass over all n patches a pick (412 s for
16.4k picks of 164k patches on 2 cores). The picks here are the same, found lazily:

* *Blocks.* Distances only shrink, so a stale distance is an upper bound. Take the B patches with
  the largest distances, run the rule inside that block on exact pairwise distances for as long as
  the block's best beats everything outside it, then update everyone for all those picks at once.
* *Groups.* Members are kept in groups of near ones. A pick farther from a group's centre than the
  group's radius and its members' largest distance together cannot come nearer to any of them
  (triangle inequality): on bottle 93 of 100 pairs of member and pick are never looked at.
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
from softpatch.groups import group_by_nearness
from softpatch.memory import Workspace, chunks, trim
from softpatch.progress import Progress, silent
from softpatch.selection import where_set
from softpatch.sketch import ROUNDING, Sketch, pair_distances
from softpatch.threads import side_by_side

STARTING_PATCHES = 10  # the paper's: first distances are means over this many random patches
BLOCK = 1024
KEPT = "coreset"  # in a checkpoint
PRODUCTS_A_PAIR = 80  # inner products in a matrix product cost what one distance alone does


def greedy_coreset(
    patches: Tensor,
    size: int,
    *,
    eligible: Tensor | None = None,
    picked: Tensor | None = None,
    seed: int = 0,
    workspace: Workspace | None = None,
    progress: Progress = silent,
) -> Tensor:
    """Pick patches farthest-first.

    Args:
        patches: ``(n, D)`` float32.
        size: how many to pick. Fewer are returned when fewer distinct ones are eligible.
        eligible: ``(n,)`` bool; the others are never picked nor covered. All if None.
        picked: ``(p,)`` int64 indices of eligible patches that are picks already, of the ``size``;
            the rule goes on from them.
        seed: draws the ``STARTING_PATCHES`` whose mean distance starts the rule.
        workspace: where the sketches of all patches are kept; one of its own if None. Its
            checkpoint keeps the picks so far.
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
    workspace = workspace or Workspace(device=patches.device)
    return _LazyGreedy(patches, members, seed, workspace).run(size, picked, progress)


class _LazyGreedy:
    """State of one run; ``distance`` is the float64 distance of every member to the picks."""

    def __init__(self, patches: Tensor, members: Tensor, seed: int, workspace: Workspace) -> None:
        self.patches = patches
        generator = torch.Generator().manual_seed(seed)
        start = torch.randperm(len(members), generator=generator)[:STARTING_PATCHES]
        anchors = patches[members[start.to(members.device)]].double()
        sketch = Sketch(patches)
        sketches = sketch(patches, members, workspace.empty(len(members), sketch.length))
        self.order, self.groups = group_by_nearness(sketches)
        self.members = members[self.order]  # (e,) indices of the eligible patches, group by group
        self.sketch = workspace.empty(*sketches.shape)
        self.sketch_norm = torch.empty(len(members), device=patches.device)
        for chunk in chunks(len(members), bytes_per_item=sketch.length * 8):
            self.sketch[chunk] = sketches[self.order[chunk]]
            self.sketch_norm[chunk] = self.sketch[chunk].square().sum(dim=1)
        self.centre = sketch.centre
        self.slack = ROUNDING * float(self.sketch_norm.max())
        self.checkpoint = workspace.checkpoint
        self.distance = self._mean_distance(anchors)

    def run(self, size: int, picked: Tensor | None, progress: Progress) -> Tensor:
        size = min(size, len(self.members))
        picks = self._picked_before() if picked is None else self._go_on_from(picked)
        found = sum(map(len, picks))
        while found < size:
            block, outside = self._farthest_block()
            chosen = self._greedy_within(block, outside, size - found, first=found == 0)
            if len(chosen) == 0:
                break  # every eligible patch equals a pick
            picks.append(chosen)
            found += len(chosen)
            self._update(chosen)
            self._keep(picks)
            progress("coreset", found, size)
        progress("coreset", size, size)
        return self.members[torch.cat(picks)]

    def _go_on_from(self, picked: Tensor) -> list[Tensor]:
        """The picked ones as members, after taking over the distances to them."""
        place = torch.empty(len(self.patches), dtype=torch.long, device=picked.device)
        place[self.members] = torch.arange(len(self.members), device=picked.device)
        starts = range(0, len(picked), BLOCK)
        picks = [place[picked[start : start + BLOCK]] for start in starts]
        for block in picks:
            self._update(block)
        return picks

    def _picked_before(self) -> list[Tensor]:
        """What a killed run had picked, after taking over the distances to it."""
        kept = self.checkpoint.get(KEPT) if self.checkpoint else None
        if kept is None:
            return []
        kept = {name: tensor.to(self.order.device) for name, tensor in kept.items()}
        self.distance = kept["distance"][self.order]
        return [self.order.argsort()[kept["picks"]]]

    def _keep(self, picks: list[Tensor]) -> None:
        """Picks and distances, in the order of the members before they were grouped."""
        if self.checkpoint is not None:
            distance = torch.empty_like(self.distance)
            distance[self.order] = self.distance
            self.checkpoint.put(KEPT, {"picks": self.order[torch.cat(picks)], "distance": distance})

    def _farthest_block(self) -> tuple[Tensor, float]:
        """The ``BLOCK`` farthest members in index order, and the best distance outside them."""
        count = min(BLOCK, len(self.distance))
        outside = -1.0
        if count < len(self.distance):
            outside = float(self.distance.topk(count + 1).values[-1])
        block = (self.distance > outside).nonzero().flatten()
        ties = (self.distance == outside).nonzero().flatten()
        ties = ties[self.members[ties].argsort()][: count - len(block)]
        block = torch.cat([block, ties])
        return block[self.members[block].argsort()], outside

    def _greedy_within(self, block: Tensor, outside: float, limit: int, *, first: bool) -> Tensor:
        """Run the rule inside the block while its best beats everything outside."""
        pairwise = _pairwise(self.patches[self.members[block]].double()).cpu().numpy()
        distance = self.distance[block].cpu().numpy().copy()
        chosen: list[int] = []
        while len(chosen) < limit:
            best = int(distance.argmax())
            # The first of a block is the best of all; later ones must not tie with the outside,
            # where a lower index might wait. At distance 0 only copies of picks are left.
            if chosen and distance[best] <= outside:
                break
            if distance[best] == 0 and (chosen or not first):
                break
            chosen.append(best)
            np.minimum(distance, pairwise[best], out=distance)
        return block[torch.tensor(chosen, dtype=torch.long, device=block.device)]

    def _update(self, chosen: Tensor) -> None:
        """Bring every member's distance up to date with the new picks, group by group."""
        self.distance[chosen] = 0.0
        new = self.sketch[chosen]
        vectors = self.patches[self.members[chosen]]  # asked for group by group, and few
        groups = self.groups
        largest = torch.zeros_like(groups.radii, dtype=torch.float64)
        largest.scatter_reduce_(0, groups.membership, self.distance, "amax")
        reach = (groups.radii + largest.float()) * (1 + ROUNDING)
        off_centre = torch.cdist(groups.centres, new, compute_mode="donot_use_mm_for_euclid_dist")
        may_matter = off_centre < reach.unsqueeze(1)  # (groups, new picks)

        def update(group: int) -> None:
            members = slice(int(groups.starts[group]), int(groups.starts[group + 1]))
            picks = may_matter[group].nonzero().flatten()
            self._update_group(members, vectors[picks], new[picks])
            trim()

        affected = may_matter.any(dim=1).nonzero().flatten().tolist()
        side_by_side(update, affected, new.device)

    def _update_group(self, members: slice, picks: Tensor, sketches: Tensor) -> None:
        """``(p, D)`` picks and their sketches may be near members of one group."""
        # |x - z|^2 - |x|^2 of the sketches, at most that of the patches themselves
        norms = sketches.square().sum(dim=1)
        bound = torch.addmm(norms, self.sketch[members], sketches.T, alpha=-2)  # (members, picks)
        distance = self.distance[members]
        limit = (distance.square().float() - self.sketch_norm[members] + self.slack).unsqueeze(1)
        row, column = where_set(bound < limit)
        near: Tensor = row.unique_consecutive()  # type: ignore[no-untyped-call]
        if len(row) > len(near) * (2 + len(picks) / PRODUCTS_A_PAIR):
            # Sketches say little here (a texture): the full products leave one pick a member.
            full = self._bounds_in_full(self.members[members][near], picks, norms)
            limit = torch.minimum(limit[near], full.amin(dim=1, keepdim=True) + self.slack)
            row, column = where_set((full <= limit) & (bound[near] < limit))
            row = near[row]
        exact = pair_distances(self.patches, self.members[members][row], picks, column)
        distance.scatter_reduce_(0, row, exact, "amin")

    def _bounds_in_full(self, indices: Tensor, picks: Tensor, norms: Tensor) -> Tensor:
        """``(r,)``, ``(c, D)`` -> ``(r, c)`` |x - z|^2 - |x|^2 of the patches, to float32."""
        x = self.patches[indices] - self.centre
        return (x @ (picks - self.centre).T).mul_(-2).add_(norms)

    def _mean_distance(self, anchors: Tensor) -> Tensor:
        """``(e,)`` float64 mean distance of every member to the starting patches."""
        means = torch.empty(len(self.members), dtype=torch.float64, device=self.patches.device)
        for chunk in chunks(len(self.members), bytes_per_item=self.patches.shape[1] * 128):
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
    if int((distances == 0).sum()) == len(vectors):
        return distances
    # Copies differ by the product's rounding, which must not decide which of them is picked.
    first_copy = (distances == 0).int().argmax(dim=1)
    return distances[first_copy][:, first_copy]
