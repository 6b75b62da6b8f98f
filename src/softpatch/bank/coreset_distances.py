"""Lazily maintained bounds on each patch's distance to the selected centers.

A distance is brought up to date in three steps, each only for the patches that the step before left
above a bar. For 800k patches of 1,200 bottles and 3,000 centers, 0.1 million D-dimensional
distances are computed.

1. *update_bounds*: one matrix product of rounded sketches bounds the distances to the centers a
   patch has not been compared with (see ``bounds``). If one of them may be nearer, its upper bound
   becomes the patch's.
2. *tighten*: that upper bound is recomputed from the two patches themselves.
3. *resolve*: exact distances to all centers that may be nearer than the bound.
"""

from __future__ import annotations

import torch
from torch import Tensor

from softpatch.bank.bounds import PatchBounds
from softpatch.bank.selection import ordered, smallest_of_rows, where_set, within
from softpatch.bank.sketch import pair_bounds, pair_distances
from softpatch.compute.scratch import ScratchSpace, chunks, trim
from softpatch.compute.threads import parallel_for

STARTING_PATCHES = 10  # the paper's: first distances are means over this many random patches
ROWS = 2048  # candidates per chunk when bounds are updated
CENTERS = 2048  # per matrix product, which bounds its size
ROWS_TIGHTENED = 4096
ROWS_RESOLVED = 256
START = -1  # stands for the mean distance to the starting patches, as if it were a center
NONE = torch.iinfo(torch.int64).max
ALL = slice(None)
PRODUCTS_A_PAIR = 80  # one exact distance costs as much as ~80 inner products inside a GEMM


class CoresetDistances:
    """Upper bounds on the distances of ``e`` members of the patches to the selected centers.

    Attributes:
        picks: ``(p,)`` int64, the members selected so far.
        distance: ``(e,)`` float64, no less than every member's distance to the centers, or to the
            starting patches (their mean) where that is less.
        n_seen: ``(e,)`` int64, number of centers, in their order, that ``distance`` accounts for.
        first_unresolved: ``(e,)`` int64, index of the first of these that may be nearer than
            ``distance``; ``NONE`` where ``distance`` is exact.
        bounded_by: ``(e,)`` int64, index of the center whose sketch gave ``distance``; -1 if no
            sketch did.
    """

    def __init__(self, patches: Tensor, members: Tensor, seed: int, scratch: ScratchSpace) -> None:
        """Select nothing yet; ``seed`` draws the starting patches from the ``(e,)`` members."""
        self.patches = patches
        self.members = members
        generator = torch.Generator().manual_seed(seed)
        start = torch.randperm(len(members), generator=generator)[:STARTING_PATCHES]
        self.start = patches[members[start.to(members.device)]]
        self.bounds = PatchBounds(patches, members, scratch)
        self.start_centers = self.bounds.centers_from(self.start)
        self.picks = members[:0]
        self.centers = self.bounds.centers(self.picks)
        self.distance = self._bounds_at_start()
        self.n_seen = torch.zeros_like(members)
        self.first_unresolved = torch.full_like(members, START)
        self.bounded_by = torch.full_like(members, -1)

    def add(self, picks: Tensor) -> None:
        """Select ``(c,)`` members; the others' distances are not updated yet."""
        self.picks = torch.cat([self.picks, picks])
        self.centers += self.bounds.centers(picks)
        self.distance[picks] = 0.0
        self.bounded_by[picks] = -1

    def may_be_nearer(self, members: Tensor) -> Tensor:
        """``(r, r)`` bool: whether selecting the row's member may lower the column's distance."""
        centers = self.bounds.centers(members)
        squared = self.bounds.squared(members, centers)
        return within(squared, self.bounds.limit(members, self.distance[members], centers)).T

    def is_exact(self, members: slice | Tensor = ALL) -> Tensor:
        """``(r,)`` bool: whether ``distance`` is exact and accounts for all centers."""
        return (self.first_unresolved[members] == NONE) & (self.n_seen[members] == len(self.picks))

    def update_bounds(self, members: Tensor) -> None:
        """Lower the upper bounds of ``(r,)`` members to those of centers they have not seen."""
        members = members[self.n_seen[members] < len(self.picks)]
        members = members.sort().values  # in the order of a spilled file
        members = members[self.n_seen[members].argsort(stable=True)]

        def update(part: slice) -> None:
            rows = members[part]
            for first in range(int(self.n_seen[rows[0]]), len(self.picks), CENTERS):
                self._update_bounds_from(rows, first)
            self.n_seen[rows] = len(self.picks)
            trim()

        parts = list(chunks(len(members), bytes_per_item=8, most=ROWS))
        parallel_for(update, parts, members.device)

    def _update_bounds_from(self, members: Tensor, first: int) -> None:
        """Update the bounds by ``CENTERS`` centers, from the ``first`` on."""
        centers = self.centers[first : first + CENTERS]
        squared = self.bounds.squared(members, centers)
        limit = self.bounds.limit(members, self.distance[members], centers)
        center = smallest_of_rows(ordered(squared))
        least = squared.gather(1, center.unsqueeze(1)).squeeze(1)
        near = (ordered(least) <= ordered(limit)).nonzero().flatten()
        members, center, least = members[near], center[near], least[near]
        self.first_unresolved[members] = self.first_unresolved[members].minimum(
            self.n_seen[members].clamp(min=first)
        )
        upper = self.bounds.upper_bound(members, least, centers, center)
        lowered = upper < self.distance[members]
        members = members[lowered]
        self.distance[members] = upper[lowered]
        self.bounded_by[members] = first + center[lowered]

    def tighten(self, members: Tensor) -> None:
        """Recompute the bounds of ``(r,)`` members that a sketch gave from the patches themselves.

        On bottle this brings four of five below the block's distances; they need no resolving.
        """
        members = members[self.bounded_by[members] >= 0]

        def tighten(part: slice) -> None:
            rows = members[part]
            pick = self.members[self.picks[self.bounded_by[rows]]]
            upper = pair_bounds(self.patches, self.members[rows], pick)
            self.distance[rows] = upper.minimum(self.distance[rows])
            self.bounded_by[rows] = -1

        parts = list(chunks(len(members), bytes_per_item=8, most=ROWS_TIGHTENED))
        parallel_for(tighten, parts, members.device)

    def resolve(self, members: Tensor) -> None:
        """Make the distances of ``(r,)`` members, updated and tightened before, exact."""
        new = members[self.first_unresolved[members] == START]
        if len(new):
            self._resolve_start(new)
            self.first_unresolved[new] = 0
        # Sorted, because a chunk is compared from the first open center of its members on.
        members = members[self._first_open(members).argsort()]
        parts = list(chunks(len(members), bytes_per_item=8 * CENTERS, most=ROWS_RESOLVED))
        parallel_for(lambda part: self._resolve_centers(members[part]), parts, members.device)
        self.first_unresolved[members], self.n_seen[members] = NONE, len(self.picks)

    def _first_open(self, members: Tensor) -> Tensor:
        """``(r,)`` int64 index of the first center that is unresolved or unseen."""
        return self.first_unresolved[members].minimum(self.n_seen[members])

    def _resolve_start(self, members: Tensor) -> None:
        lower = self.bounds.lower_bound(members, self.start_centers).mean(dim=1)
        members = members[lower < self.distance[members]]
        means = torch.cdist(
            self.patches[self.members[members]].double(),
            self.start.double(),
            compute_mode="donot_use_mm_for_euclid_dist",
        ).mean(dim=1)
        self.distance[members] = means.minimum(self.distance[members])

    def _resolve_centers(self, members: Tensor) -> None:
        """Compare ``(r,)`` members, ascending in ``_first_open``, with the open centers."""
        first_open = self._first_open(members)
        for first in range(int(first_open[0]), len(self.picks), CENTERS):
            picks = self.picks[first : first + CENTERS]
            centers = self.centers[first : first + CENTERS]
            squared = self.bounds.squared(members, centers)  # (r, c)
            near = within(squared, self.bounds.limit(members, self.distance[members], centers))
            row, column = where_set(near)
            if len(row) > len(members) * (2 + len(picks) / PRODUCTS_A_PAIR):
                # Sketches rule out little (a texture); full products leave one center a member.
                row, column = where_set(near & self._may_be_nearest(members, picks))
            new = first + column >= first_open[row]
            row, column = row[new], column[new]
            left, right = self.members[members[row]], self.members[picks[column]]
            exact = pair_distances(self.patches, left, self.patches, right)
            least = self.distance[members]
            self.distance[members] = least.scatter_reduce_(0, row, exact, "amin")

    def _may_be_nearest(self, members: Tensor, picks: Tensor) -> Tensor:
        """``(r, c)`` bool: picks that may be a member's nearest, by float32 inner products."""
        mean = self.bounds.sketch.centre
        x = self.patches[self.members[members]] - mean
        z = self.patches[self.members[picks]] - mean
        norm = x.square().sum(dim=1)
        squared_less_norm = torch.addmm(z.square().sum(dim=1), x, z.T, alpha=-2)
        limit = self.distance[members].square().float() - norm
        limit = limit.minimum(squared_less_norm.amin(dim=1)) + self.bounds.slack
        return squared_less_norm <= limit.unsqueeze(1)

    def _bounds_at_start(self) -> Tensor:
        """``(e,)`` float64 upper bounds on the mean distance to the starting patches."""
        start = self.start_centers
        bounds = torch.empty(len(self.members), dtype=torch.float64, device=self.members.device)
        for chunk in chunks(len(self.members), bytes_per_item=1024, most=ROWS):
            squared = self.bounds.squared(chunk, start)
            bounds[chunk] = torch.stack(
                [
                    self.bounds.upper_bound(chunk, squared[:, center], start, center)
                    for center in range(len(self.start))
                ]
            ).mean(dim=0)
        return bounds
