"""Nearest-vector search in operations that every runtime has."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from softpatch.export.onnx_ops import integer_product

SECTION = 10_240  # bank vectors in a product: 257 MB at 8 x 784 patches
GROUP = 32  # bank vectors that are ruled out together
SPREAD = 6.0  # the codes' range, in standard deviations of the bank's coordinates
LARGEST_CODE = 64  # of the bank: sums of 8 x 7 bit products fit 16 bits on any processor
LARGEST_LEVEL = 127  # of the patches
ROUNDING = 3e-4  # relative error of float32 sums of up to 4,096 numbers
PARTS = 8  # in which pairs are compared; batches of 8 have 60,000 pairs of 1,024 numbers
# Coordinates of a sketch, to which the residual norm is added. For 20,000 patches of bottle without
# a coreset, 767 leave 6 candidates a section, as all 1,024 do; 511 leave 10 and are a tenth faster,
# but OpenVINO takes 200 MB more in batches of 8.
COORDINATES = 767
SKETCHED = 1e-3  # largest rounding error of a sketch, as a share of the patch's norm
TINY = 1e-30  # smallest divisor


class NearestSearch(nn.Module):
    """Exact distances to the nearest bank vectors, of which few have to be computed.

    Sketches of patches and bank, as in ``softpatch.bank.sketch``, give lower bounds on distances.
    They are rounded to whole numbers, whose product is exact and, with the processor's 8-bit
    instructions, four times as fast as in float32. The rounding errors e of a patch and f of a
    vector are known, so the distance of the rounded sketches is at most e + f above that of the
    vectors: vectors farther than the nearest one found by more than that are ruled out. Of 20,000
    vectors about 10 are left for a patch of bottle or magnetic tile; their distances are computed
    in float32.
    """

    centre: Tensor
    vectors: Tensor
    norms: Tensor
    axes: Tensor
    mean_residual: Tensor
    sections: nn.ModuleList

    def __init__(self, vectors: Tensor, floors: Tensor | None = None) -> None:
        """Encode the ``(m, D)`` bank; no vector is nearer than its ``(m,)`` floor, if any."""
        super().__init__()
        self.floors: Tensor | None
        self.register_buffer("floors", floors)
        centre = vectors.mean(dim=0)
        self.register_buffer("centre", centre)
        self.register_buffer("vectors", vectors - centre)
        self.encode()

    def encode(self) -> None:
        """Compute everything that follows from ``vectors``."""
        vectors = self.vectors.double()
        self.register_buffer("norms", vectors.square().sum(dim=1).float())
        self.register_buffer("axes", _sketch_axes(vectors).float())
        self.register_buffer("mean_residual", torch.zeros(1))
        sketches = self._sketch(vectors)
        self.mean_residual = sketches[:, -1].mean(dim=0, keepdim=True).float()
        sketches[:, -1] -= self.mean_residual
        step = float(sketches.square().mean().sqrt()) * SPREAD / LARGEST_CODE + TINY
        starts = range(0, len(sketches), SECTION)
        parts = [BankSection(sketches[start : start + SECTION], start, step) for start in starts]
        self.sections = nn.ModuleList(parts)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """``(q, D)`` -> ``(q,)`` distances to the nearest vectors, and their int64 indices."""
        patches = patches - self.centre
        sketches = self._sketch(patches)
        scale = sketches.abs().amax(dim=1, keepdim=True).clamp(min=TINY) / LARGEST_LEVEL
        levels = (sketches / scale).round()
        error = (sketches - levels * scale).square().sum(dim=1, keepdim=True).sqrt()
        error = error + SKETCHED * patches.square().sum(dim=1, keepdim=True).sqrt()
        norm = (levels * scale).square().sum(dim=1, keepdim=True) * (1 - ROUNDING)
        every = torch.arange(patches.shape[0])
        nearest = index = None
        for section in self.sections:
            assert isinstance(section, BankSection)
            products = integer_product(levels, section.codes).unflatten(1, (-1, GROUP))
            twice = 2 * section.step * scale
            # Squared distances of rounded sketches, less the patch's squared norm, are at least:
            group_bound = section.smallest_norm - twice * products.amax(dim=2)  # (q, groups)
            if nearest is None or index is None:  # any near vector
                group = group_bound.argmin(dim=1)
                member_bound = section.norms[group] - twice * products[every, group]
                index = section.order[group * GROUP + member_bound.argmin(dim=1)]
                nearest = self._floored(self._distances(patches, every, index), index)
            radius = nearest.unsqueeze(1) + error
            # Groups, then vectors, that may be nearer: (row, group), then (row, near).
            limit = ((radius + section.largest_error) * (1 + ROUNDING)).square() - norm
            row, group = (group_bound <= limit).nonzero().unbind(1)
            torch._check(row.shape[0] < 2**31)  # or the exporter writes numbers beyond 64 bits
            member_bound = section.norms[group] - twice[row] * products[row, group]  # (n, GROUP)
            limit = (radius[row] + section.rounding_error[group]) * (1 + ROUNDING)
            limit = limit.square() - norm[row]
            pair, member = (member_bound <= limit).nonzero().unbind(1)
            row, near = row[pair], section.order[group[pair] * GROUP + member]
            distance = self._floored(self._distances(patches, row, near), near)
            last = nearest
            nearest = last.scatter_reduce(0, row, distance, "amin")
            # Ties go to the first: vectors of earlier sections, and the one found above.
            unknown = torch.where(nearest < last, len(self.vectors), index)
            near = near.where(distance == nearest[row], len(self.vectors))
            index = unknown.scatter_reduce(0, row, near, "amin")
        assert nearest is not None
        assert index is not None
        return nearest, index

    def _sketch(self, patches: Tensor) -> Tensor:
        """``(n, D)`` centred -> ``(n, q + 1)``: leading coordinates, and the residual's norm."""
        leading = patches @ self.axes.to(patches.dtype)
        squared = patches.square().sum(dim=1, keepdim=True)
        rest = (squared - leading.square().sum(dim=1, keepdim=True)).clamp(min=0).sqrt()
        return torch.cat([leading, rest - self.mean_residual], dim=1)

    def neighbours(self, patches: Tensor, count: int) -> Tensor:
        """A few ``(q, D)`` patches -> ``(q, count)`` indices of their nearest vectors."""
        products = (patches - self.centre) @ self.vectors.T
        count = min(count, len(self.vectors))
        return (self.norms - 2 * products).topk(count, dim=1, largest=False).indices

    def _floored(self, distances: Tensor, index: Tensor) -> Tensor:
        """``(n,)`` distances to the vectors ``index``, none below a vector's floor."""
        return distances if self.floors is None else torch.maximum(distances, self.floors[index])

    def _distances(self, patches: Tensor, row: Tensor, index: Tensor) -> Tensor:
        """Distances of ``patches[row[i]]`` to ``vectors[index[i]]``, in parts to save memory."""
        parts = PARTS if patches.shape[1] % PARTS == 0 else 1
        patches = patches.reshape(-1, patches.shape[1] // parts)
        vectors = self.vectors.view(-1, patches.shape[1])
        squares = torch.zeros(1)
        for part in range(parts):
            difference = patches[row * parts + part] - vectors[index * parts + part]
            squares = squares + difference.square().sum(dim=1)
        return squares.sqrt()


def _sketch_axes(vectors: Tensor) -> Tensor:
    """``(m, D)`` centred -> ``(D, q)`` orthonormal: principal directions, randomly rotated.

    Without the rotation the leading ones exceed the codes' range: with 255 coordinates, 40 of
    bottle's 3,277 vectors (coreset ratio 0.02) are left instead of 5.
    """
    _, axes = torch.linalg.eigh(vectors.T @ vectors)  # ascending eigenvalues
    axes = axes[:, -COORDINATES:]
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(axes.shape[1], axes.shape[1], generator=generator, dtype=axes.dtype)
    rotated: Tensor = axes @ torch.linalg.qr(mixed).Q
    return rotated


class BankSection(nn.Module):
    """Codes of the sketches of some bank vectors.

    Attributes:
        step: size of one code.
        codes: ``(q + 1, m)`` int8, in the order of ``order``.
        order: ``(m,)`` indices in the bank.
        norms, rounding_error: ``(groups, GROUP)`` lower bounds on the squared norms of the rounded
            sketches, and their distances to the sketches.
        smallest_norm, largest_error: ``(groups,)`` extremes of these.
    """

    codes: Tensor
    order: Tensor
    norms: Tensor
    rounding_error: Tensor
    smallest_norm: Tensor
    largest_error: Tensor

    def __init__(self, sketches: Tensor, start: int, step: float) -> None:
        """Encode ``(m, q + 1)`` float64 sketches; the first has index ``start`` in the bank."""
        super().__init__()
        self.step = step
        levels = (sketches / step).round().clamp(-LARGEST_CODE, LARGEST_CODE)
        # Groups of similar norms: otherwise one short vector would keep all of its group.
        norms = (levels * step).square().sum(dim=1) * (1 - ROUNDING)
        norms, order = norms.sort()
        rounding_error = (sketches - levels * step).norm(dim=1)[order]
        missing = -len(order) % GROUP
        codes = F.pad(levels[order].char(), (0, 0, 0, missing)).T.contiguous()
        norms = F.pad(norms.float(), (0, missing), value=torch.inf).view(-1, GROUP)
        rounding_error = F.pad(rounding_error.float(), (0, missing)).view(-1, GROUP)
        self.register_buffer("codes", codes)
        self.register_buffer("order", start + F.pad(order, (0, missing)))
        self.register_buffer("norms", norms)
        self.register_buffer("rounding_error", rounding_error)
        self.register_buffer("smallest_norm", norms.amin(dim=1))
        self.register_buffer("largest_error", rounding_error.amax(dim=1))
