"""Distances of many patches to many picks, from below and from above, by one fast matrix product.

Where the processor has bfloat16 instructions the patches are rounded to that: the product takes a
sixth of its time in float32 (2 cores, 256 numbers: 1,200 GFLOP/s and 190), so that it can have all
coordinates. Elsewhere it has sketches (see ``sketch``) in float32. How far rounding moves each
vector is measured; a distance changes by no more than its two ends are moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from softpatch.bounds import has_bf16
from softpatch.memory import Workspace, chunks
from softpatch.sketch import COORDINATES, ROUNDING, Sketch

PARTS = 3  # bfloat16 numbers that |z|^2 is written as, to lose no more than float32 does
# Of a product in bfloat16: 2^-9 that rounding it may change, 2^-9 of the limit it is compared with,
# and a little for the product of the two.
BF16_SHARE = 0.004


@dataclass(frozen=True)
class Picks:
    """Rounded sketches z that others are compared with.

    Attributes:
        rows: ``(c, q + PARTS)`` of -2 z and the parts of |z|^2.
        residual: ``(c,)`` float32 norm of what the coordinates leave out, rounded.
        moved: ``(c,)`` float32, how far rounding moved each.
    """

    rows: Tensor
    residual: Tensor
    moved: Tensor

    @classmethod
    def of(cls, rounded: Tensor, norm: Tensor, moved: Tensor) -> Picks:
        """From ``(c, q)`` rounded sketches, their squared norms and how far they moved."""
        rows = torch.cat([-2 * rounded, rounded.new_empty(len(rounded), PARTS)], dim=1)
        for part in range(rounded.shape[1], rows.shape[1]):
            rows[:, part] = norm
            norm = norm - rows[:, part].float()
        return cls(rows, rounded[:, -1].float(), moved)

    def since(self, first: int) -> Picks:
        """All but the first."""
        return Picks(self.rows[first:], self.residual[first:], self.moved[first:])

    def __add__(self, others: Picks) -> Picks:
        return Picks(
            torch.cat([self.rows, others.rows]),
            torch.cat([self.residual, others.residual]),
            torch.cat([self.moved, others.moved]),
        )


class RoundedSketches:
    """Of ``e`` members of the patches, and what they tell about distances.

    Attributes:
        rows: ``(e, q + PARTS)`` of the sketches x and ones.
        norm: ``(e,)`` float32 |x|^2.
        moved: ``(e,)`` float32, how far rounding moved each.
    """

    def __init__(self, patches: Tensor, members: Tensor, workspace: Workspace) -> None:
        """Sketch the ``(e,)`` ``members`` of ``(n, D)`` patches."""
        self.length, self.dtype = row_format(patches.shape[1], patches.device)
        self.sketch = Sketch(patches, self.length - PARTS - 1)
        self.rows = workspace.empty(len(members), self.length, dtype=self.dtype)
        self.norm = torch.empty(len(members), device=patches.device)
        self.moved = torch.empty_like(self.norm)
        for chunk in chunks(len(members), bytes_per_item=patches.shape[1] * 64):
            rounded, norm, moved = self._round(self.sketch(patches, members[chunk]))
            self.rows[chunk, :-PARTS] = rounded
            self.rows[chunk, -PARTS:] = 1
            self.norm[chunk], self.moved[chunk] = norm, moved
        self.share = BF16_SHARE if self.dtype == torch.bfloat16 else 0.0
        self.slack = ROUNDING * float(self.norm.max())  # of sums in float32

    def picks(self, members: Tensor) -> Picks:
        """Some of the members, to compare others with."""
        return Picks.of(self.rows[members, :-PARTS], self.norm[members], self.moved[members])

    def picks_of(self, patches: Tensor) -> Picks:
        """Any ``(c, D)`` patches, to compare members with."""
        return Picks.of(*self._round(self.sketch(patches)))

    def squared_less_norm(self, members: slice | Tensor, picks: Picks) -> Tensor:
        """``(r, c)``: |x - z|^2 - |x|^2, but for rounding."""
        return torch.mm(self.rows[members], picks.rows.T)

    def limit(self, members: slice | Tensor, distance: Tensor, picks: Picks) -> Tensor:
        """``(r,)``: where ``squared_less_norm`` is above, no pick is as near as ``distance``."""
        reach = distance.float() + self.moved[members] + picks.moved.max()
        limit = reach.square() - self.norm[members] + self.slack
        return (limit + self.share * limit.abs()).to(self.dtype)

    def at_most(
        self, members: slice | Tensor, squared_less_norm: Tensor, picks: Picks, which: int | Tensor
    ) -> Tensor:
        """``(r,)`` float64, no less than each member's distance to the pick ``which``."""
        product = squared_less_norm.float()
        squared = self.norm[members] + product + self.share * product.abs() + self.slack
        # With the residuals on opposite sides |x - z|^2 is 4 times their product more.
        squared += 4 * self.rows[members, -PARTS - 1].float() * picks.residual[which]
        moved = self.moved[members] + picks.moved[which]
        return squared.clamp(min=0).double().sqrt() + moved

    def _round(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What ``(n, q)`` vectors become, their squared norms then, and how far they moved."""
        rounded = vectors.to(self.dtype)
        exact = rounded.float()
        moved = torch.linalg.vector_norm(vectors - exact, dim=1)
        return rounded, exact.square().sum(dim=1), moved


def row_format(dimension: int, device: torch.device) -> tuple[int, torch.dtype]:
    """Numbers in a row of ``RoundedSketches`` of D-dimensional patches, and their kind."""
    if has_bf16(device):
        # Of patches with noise in all directions, as of 5,000 grown bottles, 252 coordinates rule
        # out one pick of four, all of them nearly every one that is not nearer.
        return dimension + 1 + PARTS, torch.bfloat16
    return min(dimension, COORDINATES) + 1 + PARTS, torch.float32
