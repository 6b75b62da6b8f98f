"""The memory bank: normal patches, each with its softening weight and its floor."""

from __future__ import annotations

from copy import copy
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from softpatch.bank.bounds import BankBounds
from softpatch.bank.selection import ordered, smallest_of_rows, where_set, within
from softpatch.bank.sketch import ROUNDING, Sketch, pair_distances
from softpatch.compute.scratch import chunks
from softpatch.compute.threads import parallel_for

Distance = Literal["squared", "euclidean"]

DENSE_SHARE = 0.005  # of the bank: more candidates cost more one by one than the full product
FEW = 32  # patches that may be the farthest; then twice as many each time
QUERIES = 196  # patches a chunk: their bounds to 18k vectors, 7 MB in bfloat16, stay in cache


class MemoryBank:
    """Normal patch vectors, and what keeps odd ones among them from hiding defects.

    Attributes:
        vectors: ``(m, D)`` float32.
        weights: ``(m,)`` float32 outlier scores W of the vectors (METHOD: soft weights); near 1 for
            normal patches.
        floors: ``(m,)`` float32, the least distance at which each vector is taken to lie from any
            patch, see ``softpatch.bank.support``; None is 0 for all.
    """

    def __init__(
        self,
        vectors: Tensor,
        weights: Tensor,
        sketch: Sketch | None = None,
        floors: Tensor | None = None,
    ) -> None:
        """``sketch``, of similar patches, saves the making of one (0.25 s at D=1024)."""
        self.vectors = vectors
        self.weights = weights
        self.floors = floors
        self._bounds = BankBounds(vectors, sketch)

    def with_floors(self, floors: Tensor | None) -> MemoryBank:
        """The same vectors with other floors; nothing is prepared again."""
        other = copy(self)
        other.floors = floors
        return other

    def first(self, count: int) -> MemoryBank:
        """The ``count`` vectors that come first; no patch is nearer to them than to all."""
        floors = None if self.floors is None else self.floors[:count]
        return MemoryBank(self.vectors[:count], self.weights[:count], self._bounds.sketch, floors)

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(
        self, patches: Tensor, skip_own: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Find each patch's nearest bank vector, exactly; among equally near ones the first.

        No vector is nearer than its floor.

        Args:
            patches: ``(q, D)`` float32.
            skip_own: image indices of the patches ``(q,)`` and of the bank vectors ``(m,)``.
                Vectors of a patch's own image are skipped, so that a training patch is scored as if
                its image had been held out.

        Returns:
            ``(q,)`` float32 distances, infinite where every vector was skipped, and ``(q,)`` int64
            indices.
        """
        distance = torch.empty(len(patches), device=patches.device)
        index = torch.empty(len(patches), dtype=torch.long, device=patches.device)

        def search(chunk: slice) -> None:
            skipped = None
            if skip_own is not None:
                skipped = skip_own[0][chunk].unsqueeze(1) == skip_own[1]
            distance[chunk], index[chunk] = self._nearest(patches[chunk], skipped)

        parts = list(chunks(len(patches), bytes_per_item=8 * len(self), most=QUERIES))
        parallel_for(search, parts, patches.device)
        return distance, index

    def farthest(
        self,
        patches: Tensor,
        count: int,
        at_most: Tensor,
        skip_own: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The largest of the patches' distances to their nearest vectors, descending.

        Few patches are compared, if their bounds are low.

        Args:
            patches: ``(q, D)`` float32.
            count: how many distances; ``q`` where there are fewer patches.
            at_most: ``(q,)`` float32, which counts where a patch's distance exceeds it.
            skip_own: see ``nearest``; of the patches, images are ``(q,)`` still.

        Returns:
            ``(count,)`` float32.
        """
        order = at_most.argsort(descending=True)
        found = at_most[:0]
        start, several = 0, FEW
        while start < len(order):
            if len(found) == count and at_most[order[start]] <= found[-1]:
                break
            some = order[start : start + several]
            own = None if skip_own is None else (skip_own[0][some], skip_own[1])
            nearest = torch.minimum(self.nearest(patches[some], own)[0], at_most[some])
            distances = torch.cat([found, nearest])
            found = distances.sort(descending=True).values[:count]
            start, several = start + several, 2 * several
        return found

    def _nearest(self, patches: Tensor, skipped: Tensor | None) -> tuple[Tensor, Tensor]:
        squared, limit_of = self._bounds.squared(patches)  # (q, m)
        if skipped is not None:
            squared[skipped] = torch.inf
        if self.floors is not None:
            squared = torch.maximum(squared, self.floors.square().to(squared.dtype))
        # The nearest sketch gives an upper bound; exact distances only for vectors whose lower
        # bound is below it.
        index = smallest_of_rows(ordered(squared))
        own = torch.arange(len(patches), device=patches.device)
        distance = self._distances(patches, own, index)
        near = within(squared, limit_of(distance))
        nobody = squared[own, index].isinf()
        distance[nobody], near[nobody] = torch.inf, False
        row, candidate = where_set(near)
        dense = torch.bincount(row, minlength=len(patches)) > DENSE_SHARE * len(self)
        if bool(dense.any()):
            # A texture's patches spread over too many directions for a sketch.
            near[dense] &= self._may_be_nearer(patches[dense], distance[dense])
            row, candidate = where_set(near)
        exact = self._distances(patches, row, candidate)
        distance.scatter_reduce_(0, row, exact, "amin")
        winner = exact == distance[row]
        index.scatter_reduce_(0, row[winner], candidate[winner], "amin", include_self=False)
        return distance.float(), index

    def _distances(self, patches: Tensor, row: Tensor, index: Tensor) -> Tensor:
        """Of ``patches[row[i]]`` to the vectors ``index[i]``, in float64; floors count."""
        distances = pair_distances(patches, row, self.vectors, index)
        if self.floors is None:
            return distances
        return torch.maximum(distances, self.floors[index].double())

    def _may_be_nearer(self, patches: Tensor, distance: Tensor) -> Tensor:
        """``(q, m)`` bool: vectors no farther than ``(q,)`` distances, by float32 products."""
        x, (z, norms) = patches - self._bounds.sketch.centre, self._centred
        norm = x.square().sum(dim=1, keepdim=True)
        slack = ROUNDING * (norm + norms.max())
        limit = distance.square().float().unsqueeze(1) - norm + slack
        return torch.addmm(norms, x, z.T, alpha=-2) <= limit

    @cached_property
    def _centred(self) -> tuple[Tensor, Tensor]:
        """``(m, D)`` vectors less their mean, and their ``(m,)`` squared norms."""
        vectors = self.vectors - self._bounds.sketch.centre
        return vectors, vectors.square().sum(dim=1)

    def neighbours(
        self, patches: Tensor, count: int, skip_own: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """``(q, D)`` -> ``(q, b)`` indices of each patch's nearest vectors, nearest first.

        ``b`` is ``count``, or less where the bank has fewer vectors left; see ``nearest`` for
        ``skip_own``.
        """
        distances = torch.cdist(patches, self.vectors, compute_mode="donot_use_mm_for_euclid_dist")
        if skip_own is not None:
            distances[skip_own[0].unsqueeze(1) == skip_own[1]] = torch.inf
        left = int(distances.isfinite().sum(dim=1).min())
        return distances.topk(min(count, left), dim=1, largest=False).indices

    def score(
        self, patches: Tensor, distance: Distance, skip_own: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """``(q, D)`` -> ``(q,)`` patch scores W(m*) * d(p, m*)^2, or with the plain distance.

        m* is the nearest bank vector (see ``nearest`` for ``skip_own``). Scores are at least 0;
        larger is more anomalous.
        """
        nearest, index = self.nearest(patches, skip_own)
        return (nearest.square() if distance == "squared" else nearest) * self.weights[index]
