"""Distances of many patches to many picks, from below and from above, by one fast matrix product.

Where the processor has bfloat16 instructions sketches are rounded to that: the product takes a
sixth of its time in float32 (2 cores, 256 numbers: 1,200 GFLOP/s and 190). How far rounding moves
each vector is measured; a distance changes by no more than its two ends are moved. |x|^2 and |z|^2
are part of the product, so that rounding the result is a share of |x - z|^2 and not of |x|^2: the
coreset of 229 bottles through a random network (17,953 picks) took 26 s before, 17 after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from softpatch.bank.sketch import ROUNDING, Sketch
from softpatch.compute.scratch import ScratchSpace, chunks

PARTS = 3  # bfloat16 numbers that a squared norm is written as, to lose no more than float32 does
TOGETHER = 1024  # vectors that patches are multiplied with together in float32
TILE = 256  # rows of a product in bfloat16 are a multiple of it
# Of a product in bfloat16: 2^-9 that rounding it may change, 2^-9 of the limit it is compared with,
# and a little for the product of the two.
BF16_SHARE = 0.004
# Of the variance, by sketches. In bfloat16 more coordinates cost little, and where patches have
# noise in all directions, as those of grown bottles have, the largest distances end up much alike.
# In float32 0.04 is 500 coordinates of rooted patches of magnetic tile, 300 of bottle, and 128 of
# what a random network makes of it. Their coresets took 0.5, 1 and 0.7 of the time that 256 did,
# searching the bank 0.5, 0.9 and 0.6 (100 pictures, no AVX-512); 0.08 and 0.02 were slower.
LEFT_OUT = {torch.bfloat16: 0.001, torch.float32: 0.04}


@dataclass(frozen=True)
class Picks:
    """Rounded sketches z that others are compared with.

    Attributes:
        rows: ``(c, q + 2 PARTS)`` of -2 z, ones and the parts of |z|^2.
        residual: ``(c,)`` float32 norm of what the coordinates leave out, rounded.
        moved: ``(c,)`` float32, how far rounding moved each.
    """

    rows: Tensor
    residual: Tensor
    moved: Tensor

    @classmethod
    def of(cls, rounded: Tensor, norm: Tensor, moved: Tensor) -> Picks:
        """From ``(c, q)`` rounded sketches, their squared norms and how far they moved."""
        ones = rounded.new_ones(len(rounded), PARTS)
        rows = torch.cat([-2 * rounded, ones, _parts(norm, rounded.dtype)], dim=1)
        return cls(rows, rounded[:, -1].float(), moved)

    def __getitem__(self, some: slice) -> Picks:
        return Picks(self.rows[some], self.residual[some], self.moved[some])

    def __add__(self, others: Picks) -> Picks:
        return Picks(
            torch.cat([self.rows, others.rows]),
            torch.cat([self.residual, others.residual]),
            torch.cat([self.moved, others.moved]),
        )


class RoundedBank:
    """Fixed vectors z, and what rounded sketches tell about patches' distances to them."""

    def __init__(self, vectors: Tensor) -> None:
        """Sketch ``(m, D)`` vectors."""
        self.dtype = number_format(vectors.device)
        self.sketch = Sketch(vectors, LEFT_OUT[self.dtype])
        rounded, norm, moved = _rounded(self.sketch(vectors), self.dtype)
        self._picks = Picks.of(rounded, norm, moved)
        self._largest = norm.max()

    def squared(self, patches: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Compare ``(q, D)`` patches with all vectors.

        Returns:
            ``(q, m)`` |x - z|^2, but for rounding, and what makes ``(q,)`` distances limits: where
            it is above, no vector is as near.
        """
        rounded, norm, moved = _rounded(self.sketch(patches), self.dtype)
        reach = moved + self._picks.moved.max()
        slack = ROUNDING * (norm + self._largest)

        def limit(distance: Tensor) -> Tensor:
            return _limit(distance.float() + reach, slack, self.dtype)

        return _product(_rows(rounded, norm), self._picks.rows), limit


class RoundedSketches:
    """Of ``e`` members of the patches, and what they tell about distances.

    Attributes:
        rows: ``(e, q + 2 PARTS)`` of the sketches x, the parts of |x|^2 and ones.
        moved: ``(e,)`` float32, how far rounding moved each.
    """

    def __init__(self, patches: Tensor, members: Tensor, workspace: ScratchSpace) -> None:
        """Sketch the ``(e,)`` ``members`` of ``(n, D)`` patches."""
        self.dtype = number_format(patches.device)
        self.sketch = Sketch(patches, LEFT_OUT[self.dtype])
        self.width = self.sketch.length  # q
        self.rows = workspace.empty(len(members), self.width + 2 * PARTS, dtype=self.dtype)
        self.moved = torch.empty(len(members), device=patches.device)
        largest = 0.0
        for chunk in chunks(len(members), bytes_per_item=patches.shape[1] * 64):
            rounded, norm, moved = _rounded(self.sketch(patches, members[chunk]), self.dtype)
            self.rows[chunk] = _rows(rounded, norm)
            self.moved[chunk] = moved
            largest = max(largest, float(norm.max()))
        self.share = _share(self.dtype)
        self.slack = ROUNDING * largest  # of sums in float32

    def picks(self, members: Tensor) -> Picks:
        """Some of the members, to compare others with."""
        rounded = self.rows[members, : self.width]
        return Picks.of(rounded, rounded.float().square().sum(dim=1), self.moved[members])

    def picks_of(self, patches: Tensor) -> Picks:
        """Any ``(c, D)`` patches, to compare members with."""
        return Picks.of(*_rounded(self.sketch(patches), self.dtype))

    def squared(self, members: slice | Tensor, picks: Picks) -> Tensor:
        """``(r, c)``: |x - z|^2, but for rounding."""
        if isinstance(members, slice):
            rows = self.rows[members]
        else:
            rows = self.rows.index_select(0, members)  # in a third of the time of indexing
        product = torch.mm(_whole_tiles(rows), _whole_tiles(picks.rows).T)
        return product[: len(rows), : len(picks.rows)]

    def limit(self, members: slice | Tensor, distance: Tensor, picks: Picks) -> Tensor:
        """``(r,)``: where ``squared`` is above, no pick is as near as ``(r,)`` ``distance``."""
        reach = distance.float() + self.moved[members] + picks.moved.max()
        return _limit(reach, self.slack, self.dtype)

    def at_most(
        self, members: slice | Tensor, squared: Tensor, picks: Picks, which: int | Tensor
    ) -> Tensor:
        """``(r,)`` float64, no less than each member's distance to the pick ``which``."""
        squared = squared.float() * (1 + self.share) + self.slack
        # With the residuals on opposite sides |x - z|^2 is 4 times their product more.
        squared += 4 * self.rows[members, self.width - 1].float() * picks.residual[which]
        moved = self.moved[members] + picks.moved[which]
        return squared.clamp(min=0).double().sqrt() + moved

    def at_least(self, members: slice | Tensor, picks: Picks) -> Tensor:
        """``(r, c)`` float32, no more than each member's distance to each pick."""
        squared = self.squared(members, picks).float() / (1 + self.share) - self.slack
        return squared.clamp(min=0).sqrt() - self.moved[members].unsqueeze(1) - picks.moved


def _rounded(vectors: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """What ``(n, q)`` vectors become, their squared norms then, and how far they moved."""
    rounded = vectors.to(dtype)
    exact = rounded.float()
    moved = torch.linalg.vector_norm(vectors - exact, dim=1)
    return rounded, exact.square().sum(dim=1), moved


def _rows(rounded: Tensor, norm: Tensor) -> Tensor:
    """``(n, q + 2 PARTS)``: what is multiplied with the rows of ``Picks``."""
    ones = rounded.new_ones(len(rounded), PARTS)
    return torch.cat([rounded, _parts(norm, rounded.dtype), ones], dim=1)


def _limit(reach: Tensor, slack: float | Tensor, dtype: torch.dtype) -> Tensor:
    return ((reach.square() + slack) * (1 + _share(dtype))).to(dtype)


def _share(dtype: torch.dtype) -> float:
    """By which a product may be wrong."""
    return BF16_SHARE if dtype == torch.bfloat16 else 0.0


def _product(rows: Tensor, others: Tensor) -> Tensor:
    """``(q, w)`` with ``(m, w)`` -> ``(q, m)``.

    In float32 part by part, each of which is still in the processor's cache when it is copied to
    its place: 784 patches with 17,953 vectors of 262 numbers took 158 ms at once, 80 so (2 cores
    without AVX-512).
    """
    if rows.dtype != torch.float32 or rows.device.type != "cpu":
        return torch.mm(rows, others.T)
    product = rows.new_empty(len(rows), len(others))
    for at in range(0, len(others), TOGETHER):
        product[:, at : at + TOGETHER] = torch.mm(rows, others[at : at + TOGETHER].T)
    return product


def _whole_tiles(rows: Tensor) -> Tensor:
    """Zeros below, so that few shapes are ever multiplied: for each a kernel is compiled.

    That takes 2.5 ms, and the product of 500 rows with 340 of 256 numbers 0.1.
    """
    missing = -len(rows) % TILE
    if rows.dtype != torch.bfloat16 or missing == 0:
        return rows
    return torch.nn.functional.pad(rows, (0, 0, 0, missing))


def _parts(norm: Tensor, dtype: torch.dtype) -> Tensor:
    """``(n,)`` -> ``(n, PARTS)`` numbers that sum up to each, nearly."""
    parts = norm.new_empty(len(norm), PARTS, dtype=dtype)
    for part in range(PARTS):
        parts[:, part] = norm
        norm = norm - parts[:, part].float()
    return parts


def number_format(device: torch.device) -> torch.dtype:
    """What a device multiplies fastest of what is precise enough."""
    return torch.bfloat16 if has_bf16(device) else torch.float32


def has_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 numbers itself; torch is slow where it does not."""
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def row_length(patches: Tensor) -> int:
    """Numbers in a row of ``RoundedSketches`` of ``(n, D)`` patches."""
    return Sketch(patches, LEFT_OUT[number_format(patches.device)]).length + 2 * PARTS
