"""How far every patch is from the picks of a coreset, known no better than it must be.

A distance is brought up to date in three steps, each for the few that the one before left above
a bar. Of 800k patches of 1,200 bottles and 3,000 picks 0.1 million D-dimensional ones are left.

1. *tell*: one matrix product of rounded sketches bounds the distances to the picks a patch has not
   been told of from below and above (see ``rounded``). Where one may be nearer, its upper bound
   becomes the patch's.
2. *tighten*: the bound by the patches themselves, of that one pair.
3. *compare*: the distances to all picks that may be nearer than that.
"""

from __future__ import annotations

import torch
from torch import Tensor

from softpatch.bank.bounds import RoundedSketches
from softpatch.bank.selection import not_above, ordered, smallest_of_rows, where_set
from softpatch.bank.sketch import pair_bounds, pair_distances
from softpatch.compute.scratch import ScratchSpace, chunks, trim
from softpatch.compute.threads import parallel_for

STARTING_PATCHES = 10  # the paper's: first distances are means over this many random patches
ROWS = 2048  # members at a time are told of picks
PICKS = 2048  # at a time, which bounds what a product takes
ROWS_TIGHTENED = 4096
ROWS_COMPARED = 256
START = -1  # the mean distance to the starting patches, as if it were a pick
NONE = torch.iinfo(torch.int64).max
ALL = slice(None)
PRODUCTS_A_PAIR = 80  # inner products in a matrix product cost what one distance alone does


class CoresetDistances:
    """Of ``e`` members of the patches.

    Attributes:
        picks: ``(p,)`` int64, the members picked so far.
        distance: ``(e,)`` float64, no less than every member's distance to the picks, or to the
            starting patches (their mean) where that is less.
        told: ``(e,)`` int64, how many of the picks, in their order, ``distance`` accounts for.
        unseen: ``(e,)`` int64, number of the first of these that may be nearer than ``distance``;
            ``NONE`` where it is the distance itself.
        nearest: ``(e,)`` int64, number of the pick whose sketch bounds ``distance``; -1 where that
            is not a sketch.
    """

    def __init__(
        self, patches: Tensor, members: Tensor, seed: int, workspace: ScratchSpace
    ) -> None:
        """Nothing is picked yet; ``seed`` draws the starting patches of ``(e,)`` members."""
        self.patches = patches
        self.members = members
        generator = torch.Generator().manual_seed(seed)
        start = torch.randperm(len(members), generator=generator)[:STARTING_PATCHES]
        self.anchors = patches[members[start.to(members.device)]]
        self.sketches = RoundedSketches(patches, members, workspace)
        self.anchor_sketches = self.sketches.picks_of(self.anchors)
        self.picks = members[:0]
        self.pick_sketches = self.sketches.picks(self.picks)
        self.distance = self._bounds_at_start()
        self.told = torch.zeros_like(members)
        self.unseen = torch.full_like(members, START)
        self.nearest = torch.full_like(members, -1)

    def add(self, picks: Tensor) -> None:
        """Pick ``(c,)`` members. Of the others' distances nothing is known to change yet."""
        self.picks = torch.cat([self.picks, picks])
        self.pick_sketches += self.sketches.picks(picks)
        self.distance[picks] = 0.0
        self.nearest[picks] = -1

    def may_be_nearer(self, members: Tensor) -> Tensor:
        """``(r, r)`` bool: of ``(r,)`` members, whether that of a row may be nearer to that of a
        column than the latter's ``distance``.
        """
        picks = self.sketches.picks(members)
        bound = self.sketches.squared(members, picks)
        return not_above(bound, self.sketches.limit(members, self.distance[members], picks)).T

    def known(self, members: slice | Tensor = ALL) -> Tensor:
        """``(r,)`` bool: whether ``distance`` is the distance to all picks itself."""
        return (self.unseen[members] == NONE) & (self.told[members] == len(self.picks))

    def tell(self, members: Tensor) -> None:
        """Lower bounds to what the sketches of the picks say that ``(r,)`` members do not know."""
        members = members[self.told[members] < len(self.picks)]
        members = members.sort().values  # as they lie in a file
        members = members[self.told[members].argsort(stable=True)]

        def tell(part: slice) -> None:
            some = members[part]
            for first in range(int(self.told[some[0]]), len(self.picks), PICKS):
                self._tell_of(some, first)
            self.told[some] = len(self.picks)
            trim()

        parts = list(chunks(len(members), bytes_per_item=8, most=ROWS))
        parallel_for(tell, parts, members.device)

    def _tell_of(self, members: Tensor, first: int) -> None:
        """Tell of ``PICKS`` picks, from the ``first`` on."""
        picks = self.pick_sketches[first : first + PICKS]
        bound = self.sketches.squared(members, picks)
        limit = self.sketches.limit(members, self.distance[members], picks)
        which = smallest_of_rows(ordered(bound))
        least = bound.gather(1, which.unsqueeze(1)).squeeze(1)
        near = (ordered(least) <= ordered(limit)).nonzero().flatten()
        members, which, least = members[near], which[near], least[near]
        self.unseen[members] = self.unseen[members].minimum(self.told[members].clamp(min=first))
        upper = self.sketches.at_most(members, least, picks, which)
        lowered = upper < self.distance[members]
        members = members[lowered]
        self.distance[members] = upper[lowered]
        self.nearest[members] = first + which[lowered]

    def tighten(self, members: Tensor) -> None:
        """Where a sketch is the bound of ``(r,)`` members, take that of the patch and its pick.

        On bottle four of five are then too near for the block and are compared with no others.
        """
        members = members[self.nearest[members] >= 0]

        def tighten(part: slice) -> None:
            some = members[part]
            pick = self.members[self.picks[self.nearest[some]]]
            upper = pair_bounds(self.patches, self.members[some], pick)
            self.distance[some] = upper.minimum(self.distance[some])
            self.nearest[some] = -1

        parts = list(chunks(len(members), bytes_per_item=8, most=ROWS_TIGHTENED))
        parallel_for(tighten, parts, members.device)

    def compare(self, members: Tensor) -> None:
        """Set the distance of ``(r,)`` members that were told and tightened."""
        new = members[self.unseen[members] == START]
        if len(new):
            self._compare_with_start(new)
            self.unseen[new] = 0
        members = members[self._since(members).argsort()]  # all see what the first has not seen
        parts = list(chunks(len(members), bytes_per_item=8 * PICKS, most=ROWS_COMPARED))
        parallel_for(lambda part: self._compare_with_picks(members[part]), parts, members.device)
        self.unseen[members], self.told[members] = NONE, len(self.picks)

    def _since(self, members: Tensor) -> Tensor:
        """``(r,)`` int64, number of the first pick that may be nearer."""
        return self.unseen[members].minimum(self.told[members])

    def _compare_with_start(self, members: Tensor) -> None:
        far = self.sketches.at_least(members, self.anchor_sketches).mean(dim=1)
        members = members[far < self.distance[members]]
        means = torch.cdist(
            self.patches[self.members[members]].double(),
            self.anchors.double(),
            compute_mode="donot_use_mm_for_euclid_dist",
        ).mean(dim=1)
        self.distance[members] = means.minimum(self.distance[members])

    def _compare_with_picks(self, members: Tensor) -> None:
        """Set the distance of ``(r,)`` members, ascending in what they have not seen."""
        unseen = self._since(members)
        for first in range(int(unseen[0]), len(self.picks), PICKS):
            picks = self.picks[first : first + PICKS]
            sketches = self.pick_sketches[first : first + PICKS]
            bound = self.sketches.squared(members, sketches)  # (r, picks)
            limit = self.sketches.limit(members, self.distance[members], sketches)
            near = not_above(bound, limit)
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

    def _bounds_at_start(self) -> Tensor:
        """``(e,)`` float64, no less than the mean distances to the starting patches."""
        anchors = self.anchor_sketches
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
