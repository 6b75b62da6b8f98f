"""Greedy k-center coreset: which patches enter the memory bank (METHOD: denoise, then coreset).

The rule is the plain farthest-first one: pick the patch farthest from all picks so far, update
everyone's distance, repeat. Done literally that is one pass over all n patches a pick (412 s for
16.4k picks of 164k patches on 2 cores). The picks here are the same, found lazily:

* *Blocks.* Distances only shrink, so a stale distance is an upper bound. Take the B patches with
  the largest distances, run the rule inside that block on exact pairwise distances for as long as
  the block's best beats everything outside it, then tell everyone of all those picks at once.
* *Bounds.* One matrix product of rounded patches bounds the distances to the new picks from below
  and above (see ``rounded``). A pick that may be nearer to a member gives it an upper bound;
  D-dimensional distances are only computed for members that come into a block, to the pick of the
  least bound first. Of 800k patches of 1,200 bottles and 3,000 picks that is 0.3 million distances.

What decides a pick is always a float64 distance, so that the picks do not depend on block, chunk or
thread count.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from softpatch.errors import UsageError
from softpatch.memory import Workspace, chunks, trim
from softpatch.progress import Progress, silent
from softpatch.rounded import Picks, RoundedSketches
from softpatch.selection import smallest_of_rows, where_set
from softpatch.sketch import pair_distances
from softpatch.threads import side_by_side

STARTING_PATCHES = 10  # the paper's: first distances are means over this many random patches
BLOCK = 1024
ROWS = 8192  # members at a time are told of new picks
TIGHTENED = 16  # times as many members as a block has, before any is compared with all picks
PART = 256  # members at a time are compared with all picks
KEPT = "picks"  # in a checkpoint
START = -1  # the mean distance to the starting patches, as if it were a pick
NONE = torch.iinfo(torch.int64).max
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
    """State of one run.

    Attributes:
        picks: ``(p,)`` int64, the members picked so far.
        distance: ``(e,)`` float64, no less than every member's distance to the picks.
        unseen: ``(e,)`` int64, number of the first pick that may be nearer; ``NONE`` where
            ``distance`` is the distance itself.
        nearest: ``(e,)`` int64, the pick whose sketch bounds ``distance``; -1 where it is that of
            a pair of patches.
    """

    def __init__(self, patches: Tensor, members: Tensor, seed: int, workspace: Workspace) -> None:
        self.patches = patches
        self.members = members
        generator = torch.Generator().manual_seed(seed)
        start = torch.randperm(len(members), generator=generator)[:STARTING_PATCHES]
        self.anchors = patches[members[start.to(members.device)]]
        self.sketches = RoundedSketches(patches, members, workspace)
        self.checkpoint = workspace.checkpoint
        self.picks = members[:0]
        self.pick_sketches = self.sketches.picks(self.picks)
        self.distance = self._bounds_at_start(self.sketches.picks_of(self.anchors))
        self.unseen = torch.full_like(members, START)
        self.nearest = torch.full_like(members, -1)

    def run(self, size: int, picked: Tensor | None, progress: Progress) -> Tensor:
        size = min(size, len(self.members))
        self._go_on_from(self._picked_before() if picked is None else picked)
        while len(self.picks) < size:
            block, outside = self._farthest_block()
            chosen = self._greedy_within(block, outside, size - len(self.picks))
            if len(chosen) == 0:
                break  # every eligible patch equals a pick
            self._take_in(chosen)
            if self.checkpoint is not None:
                self.checkpoint.put(KEPT, {KEPT: self.members[self.picks]})
            progress("coreset", len(self.picks), size)
        progress("coreset", size, size)
        return self.members[self.picks]

    def _picked_before(self) -> Tensor:
        """What a killed run had picked."""
        kept = self.checkpoint.get(KEPT) if self.checkpoint else None
        return self.members[:0] if kept is None else kept[KEPT].to(self.members.device)

    def _go_on_from(self, picked: Tensor) -> None:
        place = torch.empty(len(self.patches), dtype=torch.long, device=picked.device)
        place[self.members] = torch.arange(len(self.members), device=picked.device)
        for some in chunks(len(picked), bytes_per_item=8, most=BLOCK):
            self._take_in(place[picked[some]])

    def _farthest_block(self) -> tuple[Tensor, float]:
        """The ``BLOCK`` farthest members in index order, and the best distance outside them."""
        count = min(BLOCK, len(self.distance))
        best = self.distance[self.unseen == NONE]
        bar = _kth_largest(best, count + 1)
        stale = ((self.unseen != NONE) & (self.distance >= bar)).nonzero().flatten()
        stale = stale[self.distance[stale].argsort(descending=True)]
        for far in chunks(len(stale), bytes_per_item=8, most=TIGHTENED * BLOCK):
            some = stale[far]
            some = some[self.distance[some] >= bar]
            if len(some) == 0:
                break
            self._tighten(some)
            some = some[self.distance[some].argsort(descending=True)]
            for few in chunks(len(some), bytes_per_item=8, most=BLOCK):
                part = some[few]
                part = part[self.distance[part] >= bar]
                self._compare(part)
                best = torch.cat([best[best >= bar], self.distance[part]])
                bar = _kth_largest(best, count + 1)
        # Who is as far as the bar is not stale: the best of all are at their distances.
        outside = _kth_largest(self.distance, count + 1)
        block = (self.distance > outside).nonzero().flatten()
        ties = (self.distance == outside).nonzero().flatten()
        return torch.cat([block, ties[: count - len(block)]]).sort().values, outside

    def _tighten(self, members: Tensor) -> None:
        """Where a sketch is the bound, take the distance to its pick.

        On bottle four of five are then too near for the block and are compared with no others.
        """
        members = members[self.nearest[members] >= 0]

        def tighten(part: slice) -> None:
            some = members[part]
            pick = self.members[self.picks[self.nearest[some]]]
            distance = pair_distances(self.patches, self.members[some], self.patches, pick)
            self.distance[some] = distance.minimum(self.distance[some])
            self.nearest[some] = -1

        parts = list(chunks(len(members), bytes_per_item=8, most=PART))
        side_by_side(tighten, parts, members.device)

    def _compare(self, members: Tensor) -> None:
        """Set the distance of members whose bound is the distance of some pair."""
        self._compare_with_start(members[self.unseen[members] == START])
        members = members[self.unseen[members].argsort()]  # all see what the first has not seen
        parts = list(chunks(len(members), bytes_per_item=8 * (len(self.picks) + 1), most=PART))
        side_by_side(lambda part: self._compare_with_picks(members[part]), parts, members.device)
        self.unseen[members] = NONE

    def _compare_with_start(self, members: Tensor) -> None:
        means = torch.cdist(
            self.patches[self.members[members]].double(),
            self.anchors.double(),
            compute_mode="donot_use_mm_for_euclid_dist",
        ).mean(dim=1)
        self.distance[members] = means.minimum(self.distance[members])
        self.unseen[members] = 0

    def _compare_with_picks(self, members: Tensor) -> None:
        """Set the distance of ``(r,)`` members, ascending in what they have not seen."""
        unseen = self.unseen[members]
        first = int(unseen[0])
        if first == len(self.picks):
            return
        picks, sketches = self.picks[first:], self.pick_sketches.since(first)
        bound = self.sketches.squared(members, sketches)  # (r, picks)
        limit = self.sketches.limit(members, self.distance[members], sketches)
        near = bound <= limit.unsqueeze(1)
        row, column = where_set(near)
        if len(row) > len(members) * (2 + len(picks) / PRODUCTS_A_PAIR):
            # Sketches say little here (a texture): the full products leave one pick a member.
            row, column = where_set(near & self._may_be_nearest(members, picks))
        new = first + column >= unseen[row]
        row, column = row[new], column[new]
        left, right = self.members[members[row]], self.members[picks[column]]
        exact = pair_distances(self.patches, left, self.patches, right)
        least = self.distance[members]
        self.distance[members] = least.scatter_reduce_(0, row, exact, "amin")

    def _may_be_nearest(self, members: Tensor, picks: Tensor) -> Tensor:
        """``(r, c)`` bool: all that is nearest to float32, by the patches themselves."""
        centre = self.sketches.sketch.centre
        x = self.patches[self.members[members]] - centre
        z = self.patches[self.members[picks]] - centre
        norm = x.square().sum(dim=1)
        squared_less_norm = torch.addmm(z.square().sum(dim=1), x, z.T, alpha=-2)
        limit = self.distance[members].square().float() - norm
        limit = limit.minimum(squared_less_norm.amin(dim=1)) + self.sketches.slack
        return squared_less_norm <= limit.unsqueeze(1)

    def _greedy_within(self, block: Tensor, outside: float, limit: int) -> Tensor:
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
            if distance[best] == 0 and (chosen or len(self.picks)):
                break
            chosen.append(best)
            np.minimum(distance, pairwise[best], out=distance)
        return block[torch.tensor(chosen, dtype=torch.long, device=block.device)]

    def _take_in(self, chosen: Tensor) -> None:
        """Tell every member of new picks."""
        first, new = len(self.picks), self.sketches.picks(chosen)
        self.picks = torch.cat([self.picks, chosen])
        self.pick_sketches += new

        def tell(some: slice) -> None:
            bound = self.sketches.squared(some, new)
            limit = self.sketches.limit(some, self.distance[some], new)
            near = (bound.amin(dim=1) <= limit).nonzero().flatten()
            if len(near):
                bound = bound[near].float()
                which = smallest_of_rows(bound)
                least = bound.gather(1, which.unsqueeze(1)).squeeze(1)
                members = near + some.start
                self.unseen[members] = self.unseen[members].clamp(max=first)
                upper = self.sketches.at_most(members, least, new, which)
                lowered = upper < self.distance[members]
                members = members[lowered]
                self.distance[members] = upper[lowered]
                self.nearest[members] = first + which[lowered]
            trim()

        parts = list(chunks(len(self.members), bytes_per_item=8 * len(chosen), most=ROWS))
        side_by_side(tell, parts, chosen.device)
        self.distance[chosen] = 0.0
        self.unseen[chosen] = NONE
        self.nearest[chosen] = -1

    def _bounds_at_start(self, anchors: Picks) -> Tensor:
        """``(e,)`` float64, no less than the mean distances to the starting patches."""
        bounds = torch.empty(len(self.members), dtype=torch.float64, device=self.members.device)
        for chunk in chunks(len(self.members), bytes_per_item=1024, most=ROWS):
            squared = self.sketches.squared(chunk, anchors)
            bounds[chunk] = torch.stack(
                [
                    self.sketches.at_most(chunk, squared[:, anchor], anchors, anchor)
                    for anchor in range(len(self.anchors))
                ]
            ).mean(dim=0)
        return bounds


def _kth_largest(values: Tensor, k: int) -> float:
    """-1 where there are fewer."""
    return float(values.topk(k).values[-1]) if k <= len(values) else -1.0


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
