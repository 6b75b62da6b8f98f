"""The memory bank: normal patches, each with its softening weight (METHOD: soft weights)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from softpatch.memory import chunks
from softpatch.sketch import ROUNDING, Sketch, pair_distances

Distance = Literal["squared", "euclidean"]

# Above this share of the bank, candidates cost more one by one than the full product does.
DENSE_SHARE = 0.005


class MemoryBank:
    """Patch vectors to be near to, and how far each of them is trusted.

    Attributes:
        vectors: ``(m, D)`` float32.
        weights: ``(m,)`` float32 outlier scores W of the vectors; near 1 for normal patches.
    """

    def __init__(self, vectors: Tensor, weights: Tensor) -> None:
        self.vectors = vectors
        self.weights = weights
        self._sketch = Sketch(vectors)
        self._sketches = self._sketch(vectors)  # (m, q + 1)
        self._sketch_norms = self._sketches.square().sum(dim=1)

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(
        self, patches: Tensor, owners: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Find each patch's nearest bank vector, exactly; of equally near ones the first.

        Args:
            patches: ``(q, D)``.
            owners: the image each patch ``(q,)`` and each bank vector ``(m,)`` is from; vectors
                of a patch's own image are passed over, so that training patches can be judged
                as if their image had not been there.

        Returns:
            ``(q,)`` distances, infinite where every vector was passed over, and ``(q,)`` indices.
        """
        distance = torch.empty(len(patches), device=patches.device)
        index = torch.empty(len(patches), dtype=torch.long, device=patches.device)
        for chunk in chunks(len(patches), bytes_per_item=8 * len(self)):
            query = patches[chunk]
            sketch = self._sketch(query)
            norm = sketch.square().sum(dim=1, keepdim=True)
            slack = ROUNDING * (norm + self._sketch_norms.max())
            # Squared lower bounds less the patch's own norm: (q, q+1) x (q+1, m) -> (q, m)
            bound = torch.addmm(self._sketch_norms, sketch, self._sketches.T, alpha=-2)
            if owners is not None:
                bound[owners[0][chunk].unsqueeze(1) == owners[1]] = torch.inf
            # The vector with the nearest sketch is near; only what may be nearer is looked at.
            least, likely = bound.min(dim=1)
            row = torch.arange(len(query), device=query.device)
            within = pair_distances(query, row, self.vectors, likely)
            within[least.isinf()] = torch.inf
            limit = within.square().float().unsqueeze(1) - norm + slack
            limit = limit.where(limit.isfinite(), -torch.inf)
            may_be_nearer = bound <= limit
            dense = (may_be_nearer.sum(dim=1) > DENSE_SHARE * len(self)).nonzero().flatten()
            if len(dense) > 0:
                full = self._bounds_in_full(query[dense])
                may_be_nearer[dense] &= full <= limit[dense]
            row, candidate = may_be_nearer.nonzero(as_tuple=True)
            exact = pair_distances(query, row, self.vectors, candidate)
            within.scatter_reduce_(0, row, exact, "amin")
            winner = exact == within[row]
            likely.scatter_reduce_(0, row[winner], candidate[winner], "amin", include_self=False)
            distance[chunk] = within
            index[chunk] = likely
        return distance, index

    def _bounds_in_full(self, patches: Tensor) -> Tensor:
        """``(q, D)`` -> ``(q, m)`` squared distances less the patches' own squared norms.

        What the sketches bound from below, to float32 precision: where a texture's patches spread
        over too many directions for a sketch.
        """
        centred = patches - self._sketch.centre
        shift = centred @ self._sketch.centre  # z - c is never formed: x.(z - c) = x.z - x.c
        products = torch.addmm(shift.unsqueeze(1), centred, self.vectors.T, beta=-1)
        return self._sketch_norms - 2 * products

    def neighbours(self, patches: Tensor, count: int) -> Tensor:
        """``(q, D)`` -> ``(q, count)`` indices of each patch's nearest vectors, nearest first."""
        distances = torch.cdist(patches, self.vectors, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.topk(count, dim=1, largest=False).indices

    def score(
        self, patches: Tensor, distance: Distance, owners: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """``(q, D)`` -> ``(q,)`` patch scores W(m*) * d(p, m*)^2, or with the plain distance.

        m* is the nearest bank vector (see ``nearest`` for ``owners``). Scores are at least 0;
        larger is more anomalous.
        """
        nearest, index = self.nearest(patches, owners)
        return (nearest.square() if distance == "squared" else nearest) * self.weights[index]
