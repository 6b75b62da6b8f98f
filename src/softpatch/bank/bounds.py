"""Lower and upper bounds on many distances from one low-precision matrix product.

Sketches are rounded to bfloat16 where the processor has instructions for it: the product then takes
a sixth of its time in float32 (2 cores, 256 numbers: 1,200 GFLOP/s against 190). The rounding error
of each vector is measured; by the triangle inequality a distance is off by at most the sum of the
errors of its two ends. |x|^2 and |z|^2 are part of the product, so that the result's rounding is
relative to |x - z|^2 and not to |x|^2: the coreset of 229 bottles through a random network (17,953
picks) took 26 s before, 17 after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from softpatch.bank.sketch import ROUNDING, Sketch
from softpatch.compute.scratch import ScratchSpace, chunks

PARTS = 3  # bfloat16 summands of a squared norm: together as precise as float32
COLUMNS = 1024  # of a float32 product that are computed at a time
TILE = 256  # the sides of a bfloat16 product are padded to a multiple of it
BF16_ERROR = 0.004  # relative: 2^-9 for the product, 2^-9 for the limit, plus the cross term
# Share of the variance that a sketch's coordinates may leave out. In bfloat16 more coordinates cost
# little, and where patches have noise in all directions, as in synthetic bottles, the largest
# distances end up nearly equal. In float32, 0.04 means 500 coordinates for square-rooted patches of
# magnetic tile, 300 for bottle, and 128 for bottle through a random network. Their coresets took
# 0.5, 1 and 0.7 of the time that 256 coordinates took, searching the bank 0.5, 0.9 and 0.6 (100
# images, no AVX-512); 0.08 and 0.02 were slower.
LEFT_OUT = {torch.bfloat16: 0.001, torch.float32: 0.04}


@dataclass(frozen=True)
class Centers:
    """Rounded sketches z of the vectors to which distances are bounded.

    Attributes:
        rows: ``(c, q + 2 PARTS)``: -2 z, ones and the summands of |z|^2.
        residual: ``(c,)`` float32 norm of what the coordinates leave out, rounded.
        rounding_error: ``(c,)`` float32 distance of each sketch to its rounded form.
    """

    rows: Tensor
    residual: Tensor
    rounding_error: Tensor

    @classmethod
    def of(cls, rounded: Tensor, norm: Tensor, rounding_error: Tensor) -> Centers:
        """From ``(c, q)`` rounded sketches, their ``(c,)`` squared norms and rounding errors."""
        ones = rounded.new_ones(len(rounded), PARTS)
        rows = torch.cat([-2 * rounded, ones, _parts(norm, rounded.dtype)], dim=1)
        return cls(rows, rounded[:, -1].float(), rounding_error)

    def __getitem__(self, some: slice) -> Centers:
        return Centers(self.rows[some], self.residual[some], self.rounding_error[some])

    def __add__(self, others: Centers) -> Centers:
        return Centers(
            torch.cat([self.rows, others.rows]),
            torch.cat([self.residual, others.residual]),
            torch.cat([self.rounding_error, others.rounding_error]),
        )


class BankBounds:
    """Lower bounds on the distances of any patches to a fixed set of vectors z."""

    def __init__(self, vectors: Tensor, sketch: Sketch | None = None) -> None:
        """Sketch ``(m, D)`` vectors, by a sketch of their own or one of similar patches."""
        self.dtype = number_format(vectors.device)
        self.sketch = sketch or sketch_of(vectors)
        rounded, norm, rounding_error = _rounded(self.sketch(vectors), self.dtype)
        self._centers = Centers.of(rounded, norm, rounding_error)
        self._largest = norm.max()

    def squared(self, patches: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Compare ``(q, D)`` patches with all vectors.

        Returns:
            ``(q, m)`` approximate |x - z|^2, and a function from ``(q,)`` distances to ``(q,)``
            limits: a vector whose entry is above the limit is farther than the distance.
        """
        rounded, norm, rounding_error = _rounded(self.sketch(patches), self.dtype)
        error = rounding_error + self._centers.rounding_error.max()
        slack = ROUNDING * (norm + self._largest)

        def limit(distance: Tensor) -> Tensor:
            return _limit(distance.float() + error, slack, self.dtype)

        return _product(_rows(rounded, norm), self._centers.rows), limit


class PatchBounds:
    """Lower and upper bounds on the distances between ``e`` members of the patches.

    Attributes:
        rows: ``(e, q + 2 PARTS)``: the rounded sketches x, the summands of |x|^2, and ones.
        rounding_error: ``(e,)`` float32 distance of each sketch to its rounded form.
    """

    def __init__(
        self, patches: Tensor, members: Tensor, scratch: ScratchSpace, sketch: Sketch | None = None
    ) -> None:
        """Sketch the ``(e,)`` ``members`` of ``(n, D)`` patches; ``rows`` live in ``scratch``."""
        self.dtype = number_format(patches.device)
        self.sketch = sketch or sketch_of(patches)
        self.width = self.sketch.length  # q
        self.rows = scratch.empty(len(members), self.width + 2 * PARTS, dtype=self.dtype)
        self.rounding_error = torch.empty(len(members), device=patches.device)
        largest = 0.0
        for chunk in chunks(len(members), bytes_per_item=patches.shape[1] * 64):
            rounded, norm, error = _rounded(self.sketch(patches, members[chunk]), self.dtype)
            self.rows[chunk] = _rows(rounded, norm)
            self.rounding_error[chunk] = error
            largest = max(largest, float(norm.max()))
        self.product_error = _product_error(self.dtype)
        self.slack = ROUNDING * largest  # absolute error of sums in float32

    def centers(self, members: Tensor) -> Centers:
        """``(c,)`` members as centers."""
        rounded = self.rows[members, : self.width]
        norm = rounded.float().square().sum(dim=1)
        return Centers.of(rounded, norm, self.rounding_error[members])

    def centers_from(self, patches: Tensor) -> Centers:
        """Any ``(c, D)`` patches as centers."""
        return Centers.of(*_rounded(self.sketch(patches), self.dtype))

    def squared(self, members: slice | Tensor, centers: Centers) -> Tensor:
        """``(r, c)`` approximate |x - z|^2."""
        if isinstance(members, slice):
            rows = self.rows[members]
        else:
            rows = self.rows.index_select(0, members)  # a third of the time of indexing
        product = torch.mm(_whole_tiles(rows), _whole_tiles(centers.rows).T)
        return product[: len(rows), : len(centers.rows)]

    def limit(self, members: slice | Tensor, distance: Tensor, centers: Centers) -> Tensor:
        """``(r,)``: centers with ``squared`` above it are farther than ``(r,)`` ``distance``."""
        radius = distance.float() + self.rounding_error[members] + centers.rounding_error.max()
        return _limit(radius, self.slack, self.dtype)

    def upper_bound(
        self, members: slice | Tensor, squared: Tensor, centers: Centers, center: int | Tensor
    ) -> Tensor:
        """``(r,)`` float64 upper bounds on each member's distance to its ``center``.

        Args:
            members: ``(r,)``.
            squared: ``(r,)`` entries of ``squared`` for that center.
            centers: ``c`` of them.
            center: an index into ``centers``, or ``(r,)`` indices.
        """
        squared = squared.float() * (1 + self.product_error) + self.slack
        # With opposite residuals |x - z|^2 is larger by 4 times the product of their norms.
        squared += 4 * self.rows[members, self.width - 1].float() * centers.residual[center]
        error = self.rounding_error[members] + centers.rounding_error[center]
        return squared.clamp(min=0).double().sqrt() + error

    def lower_bound(self, members: slice | Tensor, centers: Centers) -> Tensor:
        """``(r, c)`` float32 lower bounds on each member's distance to each center."""
        squared = self.squared(members, centers).float() / (1 + self.product_error) - self.slack
        error = self.rounding_error[members].unsqueeze(1)
        return squared.clamp(min=0).sqrt() - error - centers.rounding_error


def _rounded(vectors: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """``(n, q)`` vectors rounded to ``dtype``, their squared norms and their rounding errors."""
    rounded = vectors.to(dtype)
    exact = rounded.float()
    error = torch.linalg.vector_norm(vectors - exact, dim=1)
    return rounded, exact.square().sum(dim=1), error


def _rows(rounded: Tensor, norm: Tensor) -> Tensor:
    """``(n, q + 2 PARTS)``: the other factor to ``Centers.rows``."""
    ones = rounded.new_ones(len(rounded), PARTS)
    return torch.cat([rounded, _parts(norm, rounded.dtype), ones], dim=1)


def _limit(radius: Tensor, slack: float | Tensor, dtype: torch.dtype) -> Tensor:
    return ((radius.square() + slack) * (1 + _product_error(dtype))).to(dtype)


def _product_error(dtype: torch.dtype) -> float:
    """Relative error of a comparison of ``squared`` with a limit."""
    return BF16_ERROR if dtype == torch.bfloat16 else 0.0


def _product(rows: Tensor, others: Tensor) -> Tensor:
    """``(q, w)`` times ``(m, w)`` transposed -> ``(q, m)``.

    In float32 by blocks of columns, each still in the processor's cache when it is copied to its
    place: 784 patches with 17,953 vectors of 262 numbers took 80 ms instead of 158 (2 cores without
    AVX-512).
    """
    if rows.dtype != torch.float32 or rows.device.type != "cpu":
        return torch.mm(rows, others.T)
    product = rows.new_empty(len(rows), len(others))
    for start in range(0, len(others), COLUMNS):
        block = slice(start, start + COLUMNS)
        product[:, block] = torch.mm(rows, others[block].T)
    return product


def _whole_tiles(rows: Tensor) -> Tensor:
    """Rows padded with zeros, so that few shapes occur: a kernel is compiled for each.

    Compiling takes 2.5 ms, the product of 500 rows with 340 of 256 numbers 0.1.
    """
    missing = -len(rows) % TILE
    if rows.dtype != torch.bfloat16 or missing == 0:
        return rows
    return torch.nn.functional.pad(rows, (0, 0, 0, missing))


def _parts(norm: Tensor, dtype: torch.dtype) -> Tensor:
    """``(n,)`` float32 -> ``(n, PARTS)`` summands in ``dtype``, nearly adding up to each."""
    parts = norm.new_empty(len(norm), PARTS, dtype=dtype)
    for part in range(PARTS):
        parts[:, part] = norm
        norm = norm - parts[:, part].float()
    return parts


def number_format(device: torch.device) -> torch.dtype:
    """The fastest dtype for products on a device that is precise enough for bounds."""
    return torch.bfloat16 if has_bf16(device) else torch.float32


def has_bf16(device: torch.device) -> bool:
    """Whether the processor has bfloat16 instructions; torch's emulation is slow."""
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def row_length(patches: Tensor) -> int:
    """Length of a row of ``PatchBounds`` of ``(n, D)`` patches."""
    return sketch_of(patches).length + 2 * PARTS


def sketch_of(patches: Tensor) -> Sketch:
    """The sketch that bounds of ``(n, D)`` patches go by."""
    return Sketch(patches, LEFT_OUT[number_format(patches.device)])
