"""The nearest vectors of a bank, by operations that every runtime has."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from softpatch.export.integers import integer_product

SECTION = 10_240  # bank vectors bounded at a time: 257 MB of products at 8 x 784 patches
GROUP = 32  # that are ruled out together
SPREAD = 6.0  # standard deviations of the bank's coordinates that its codes reach
LARGEST_CODE = 64  # of the bank: 8 bits times 7 add up in 16 without overflow on any processor
LARGEST_LEVEL = 127  # of the patches
ROUNDING = 3e-4  # of sums of up to 4,096 numbers in float32, as a share of them
PARTS = 8  # that pairs are compared in; batches of 8 have 60,000 pairs of 1,024 numbers
# Of a sketch, and one more. Of 20,000 patches of bottle, no coreset, 767 leave 6 a section, as all
# 1,024 do. 511 leave 10: a tenth faster, but OpenVINO takes 200 MB more, in batches of 8.
COORDINATES = 767
SKETCHED = 1e-3  # what rounding moves a sketch by at most, as a share of the patch's length
TINY = 1e-30  # no patch is divided by less


class NearestSearch(nn.Module):
    """Exact distances to the nearest bank vectors, few of which are looked at.

    Sketches stand for patches and bank, as in ``softpatch.bank.sketch``: the distance of two is at
    most that of what they stand for. They are rounded to whole numbers, whose product is exact and,
    with the processor's 8-bit instructions, four times as fast as one in float32. Rounding moves a
    patch by e and a vector by f, both known, so the distance of what they became is at most e + f
    more than their own: what lies farther than that behind the nearest found is ruled out. Of
    20,000 vectors about 10 are left for a patch of bottle or magnetic tile; their distances are
    computed in float32.
    """

    centre: Tensor
    vectors: Tensor
    norms: Tensor
    axes: Tensor
    usual: Tensor
    sections: nn.ModuleList

    def __init__(self, vectors: Tensor) -> None:
        """Take over the ``(m, D)`` bank."""
        super().__init__()
        centre = vectors.mean(dim=0)
        self.register_buffer("centre", centre)
        self.register_buffer("vectors", vectors - centre)
        self.encode()

    def encode(self) -> None:
        """Make all that follows from ``vectors``."""
        vectors = self.vectors.double()
        self.register_buffer("norms", vectors.square().sum(dim=1).float())
        self.register_buffer("axes", _sketch_axes(vectors).float())
        self.register_buffer("usual", torch.zeros(1))
        sketches = self._sketch(vectors)
        self.usual = sketches[:, -1].mean(dim=0, keepdim=True).float()
        sketches[:, -1] -= self.usual
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
        moved = (sketches - levels * scale).square().sum(dim=1, keepdim=True).sqrt()
        moved = moved + SKETCHED * patches.square().sum(dim=1, keepdim=True).sqrt()
        length = (levels * scale).square().sum(dim=1, keepdim=True) * (1 - ROUNDING)
        every = torch.arange(patches.shape[0])
        nearest = index = None
        for section in self.sections:
            assert isinstance(section, BankSection)
            products = integer_product(levels, section.codes).unflatten(1, (-1, GROUP))
            twice = 2 * section.step * scale
            # Squared distances of what was rounded, less the sketch's own length: at least these.
            of_group = section.shortest - twice * products.amax(dim=2)  # (q, groups)
            if nearest is None or index is None:  # some vector that is near
                group = of_group.argmin(dim=1)
                of_member = section.lengths[group] - twice * products[every, group]
                index = section.order[group * GROUP + of_member.argmin(dim=1)]
                nearest = self._distances(patches, every, index)
            reach = nearest.unsqueeze(1) + moved
            # Of the groups and then of the vectors that may be nearer: (row, group), (row, near).
            limit = ((reach + section.most_moved) * (1 + ROUNDING)).square() - length
            row, group = (of_group <= limit).nonzero().unbind(1)
            torch._check(row.shape[0] < 2**31)  # or the exporter writes numbers beyond 64 bits
            of_member = section.lengths[group] - twice[row] * products[row, group]  # (n, GROUP)
            limit = ((reach[row] + section.moved[group]) * (1 + ROUNDING)).square() - length[row]
            pair, member = (of_member <= limit).nonzero().unbind(1)
            row, near = row[pair], section.order[group[pair] * GROUP + member]
            distance = self._distances(patches, row, near)
            last = nearest
            nearest = last.scatter_reduce(0, row, distance, "amin")
            # Of equally near ones the first; those of earlier sections and the one known above.
            unknown = torch.where(nearest < last, len(self.vectors), index)
            near = near.where(distance == nearest[row], len(self.vectors))
            index = unknown.scatter_reduce(0, row, near, "amin")
        assert nearest is not None
        assert index is not None
        return nearest, index

    def _sketch(self, patches: Tensor) -> Tensor:
        """``(n, D)`` centred -> ``(n, q + 1)``: leading coordinates, and the norm of the rest."""
        leading = patches @ self.axes.to(patches.dtype)
        squared = patches.square().sum(dim=1, keepdim=True)
        rest = (squared - leading.square().sum(dim=1, keepdim=True)).clamp(min=0).sqrt()
        return torch.cat([leading, rest - self.usual], dim=1)

    def neighbours(self, patches: Tensor, count: int) -> Tensor:
        """``(q, D)`` of few patches -> ``(q, count)`` indices of their nearest vectors."""
        products = (patches - self.centre) @ self.vectors.T
        count = min(count, len(self.vectors))
        return (self.norms - 2 * products).topk(count, dim=1, largest=False).indices

    def _distances(self, patches: Tensor, row: Tensor, index: Tensor) -> Tensor:
        """Of ``patches[row[i]]`` to ``vectors[index[i]]``, in parts: all pairs are large."""
        parts = PARTS if patches.shape[1] % PARTS == 0 else 1
        patches = patches.reshape(-1, patches.shape[1] // parts)
        vectors = self.vectors.view(-1, patches.shape[1])
        squares = torch.zeros(1)
        for part in range(parts):
            difference = patches[row * parts + part] - vectors[index * parts + part]
            squares = squares + difference.square().sum(dim=1)
        return squares.sqrt()


def _sketch_axes(vectors: Tensor) -> Tensor:
    """``(m, D)`` centred -> ``(D, q)`` orthonormal: principal directions, evenly mixed.

    Unmixed, the first of them reach beyond the codes: with 255 coordinates, 40 vectors in place of
    5 are left of bottle's 3,277 (coreset ratio 0.02).
    """
    _, axes = torch.linalg.eigh(vectors.T @ vectors)  # ascending eigenvalues
    axes = axes[:, -COORDINATES:]
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(axes.shape[1], axes.shape[1], generator=generator, dtype=axes.dtype)
    rotated: Tensor = axes @ torch.linalg.qr(mixed).Q
    return rotated


class BankSection(nn.Module):
    """Codes of some bank vectors' sketches.

    Attributes:
        step: what a code of 1 stands for.
        codes: ``(q + 1, m)`` int8, in the order of ``order``.
        order: ``(m,)`` indices in the bank.
        lengths, moved: ``(groups, GROUP)`` squared lengths of what the sketches became, at most,
            and how far that is from them.
        shortest, most_moved: ``(groups,)`` extremes of these.
    """

    codes: Tensor
    order: Tensor
    lengths: Tensor
    moved: Tensor
    shortest: Tensor
    most_moved: Tensor

    def __init__(self, sketches: Tensor, start: int, step: float) -> None:
        """Encode ``(m, q + 1)`` float64 sketches, of which the first has index ``start``."""
        super().__init__()
        self.step = step
        levels = (sketches / step).round().clamp(-LARGEST_CODE, LARGEST_CODE)
        # In groups of like length, or one short vector would keep all of its group.
        lengths = (levels * step).square().sum(dim=1) * (1 - ROUNDING)
        lengths, order = lengths.sort()
        moved = (sketches - levels * step).norm(dim=1)[order]
        missing = -len(order) % GROUP
        codes = F.pad(levels[order].char(), (0, 0, 0, missing)).T.contiguous()
        lengths = F.pad(lengths.float(), (0, missing), value=torch.inf).view(-1, GROUP)
        moved = F.pad(moved.float(), (0, missing)).view(-1, GROUP)
        self.register_buffer("codes", codes)
        self.register_buffer("order", start + F.pad(order, (0, missing)))
        self.register_buffer("lengths", lengths)
        self.register_buffer("moved", moved)
        self.register_buffer("shortest", lengths.amin(dim=1))
        self.register_buffer("most_moved", moved.amax(dim=1))
