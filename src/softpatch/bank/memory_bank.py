"""The memory bank: normal patches, each with its softening weight (METHOD: soft weights)."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from softpatch.bank.bounds import RoundedBank
from softpatch.bank.selection import not_above, ordered, smallest_of_rows, where_set
from softpatch.bank.sketch import ROUNDING, pair_distances
from softpatch.compute.scratch import chunks
from softpatch.compute.threads import parallel_for

Distance = Literal["squared", "euclidean"]

# Above this share of the bank, candidates cost more one by one than the full product does.
DENSE_SHARE = 0.005
QUERIES = 196  # patches looked at together; bounds to 18k vectors, 7 MB in bfloat16, stay in cache


class MemoryBank:
    """Patch vectors to be near to, and how far each of them is trusted.

    Attributes:
        vectors: ``(m, D)`` float32.
        weights: ``(m,)`` float32 outlier scores W of the vectors; near 1 for normal patches.
    """

    def __init__(self, vectors: Tensor, weights: Tensor) -> None:
        self.vectors = vectors
        self.weights = weights
        self._rounded = RoundedBank(vectors)

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(
        self, patches: Tensor, image_index: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Find each patch's nearest bank vector, exactly; of equally near ones the first.

        Args:
            patches: ``(q, D)``.
            image_index: the image each patch ``(q,)`` and each bank vector ``(m,)`` is from;
                vectors of a patch's own image are passed over, so that training patches can be
                judged as if their image had not been there.

        Returns:
            ``(q,)`` distances, infinite where every vector was passed over, and ``(q,)`` indices.
        """
        distance = torch.empty(len(patches), device=patches.device)
        index = torch.empty(len(patches), dtype=torch.long, device=patches.device)

        def search(chunk: slice) -> None:
            passed_over = None
            if image_index is not None:
                passed_over = image_index[0][chunk].unsqueeze(1) == image_index[1]
            distance[chunk], index[chunk] = self._nearest(patches[chunk], passed_over)

        parts = list(chunks(len(patches), bytes_per_item=8 * len(self), most=QUERIES))
        parallel_for(search, parts, patches.device)
        return distance, index

    def _nearest(self, patches: Tensor, passed_over: Tensor | None) -> tuple[Tensor, Tensor]:
        bound, limit_of = self._rounded.squared(patches)  # (q, m)
        if passed_over is not None:
            bound[passed_over] = torch.inf
        # The vector with the nearest sketch is near; only what may be nearer is looked at.
        likely = smallest_of_rows(ordered(bound))
        own = torch.arange(len(patches), device=patches.device)
        within = pair_distances(patches, own, self.vectors, likely)
        near = not_above(bound, limit_of(within))
        nobody = bound[own, likely].isinf()
        within[nobody], near[nobody] = torch.inf, False
        row, candidate = where_set(near)
        dense = torch.bincount(row, minlength=len(patches)) > DENSE_SHARE * len(self)
        if bool(dense.any()):
            # Where a texture's patches spread over too many directions for a sketch.
            near[dense] &= self._may_be_nearer(patches[dense], within[dense])
            row, candidate = where_set(near)
        exact = pair_distances(patches, row, self.vectors, candidate)
        within.scatter_reduce_(0, row, exact, "amin")
        winner = exact == within[row]
        likely.scatter_reduce_(0, row[winner], candidate[winner], "amin", include_self=False)
        return within.float(), likely

    def _may_be_nearer(self, patches: Tensor, within: Tensor) -> Tensor:
        """``(q, m)`` bool: vectors no farther than ``(q,)`` distances, to float32."""
        x, (z, norms) = patches - self._rounded.sketch.centre, self._centred
        norm = x.square().sum(dim=1, keepdim=True)
        slack = ROUNDING * (norm + norms.max())
        limit = within.square().float().unsqueeze(1) - norm + slack
        return torch.addmm(norms, x, z.T, alpha=-2) <= limit

    @cached_property
    def _centred(self) -> tuple[Tensor, Tensor]:
        """The vectors less the patches' mean, and their ``(m,)`` squared norms."""
        vectors = self.vectors - self._rounded.sketch.centre
        return vectors, vectors.square().sum(dim=1)

    def neighbours(self, patches: Tensor, count: int) -> Tensor:
        """``(q, D)`` -> ``(q, count)`` indices of each patch's nearest vectors, nearest first."""
        distances = torch.cdist(patches, self.vectors, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.topk(count, dim=1, largest=False).indices

    def score(
        self, patches: Tensor, distance: Distance, image_index: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """``(q, D)`` -> ``(q,)`` patch scores W(m*) * d(p, m*)^2, or with the plain distance.

        m* is the nearest bank vector (see ``nearest`` for ``image_index``). Scores are at least 0;
        larger is more anomalous.
        """
        nearest, index = self.nearest(patches, image_index)
        return (nearest.square() if distance == "squared" else nearest) * self.weights[index]
