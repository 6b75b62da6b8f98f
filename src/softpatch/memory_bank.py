"""The memory bank: normal patches, each with its softening weight (METHOD: soft weights)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from softpatch.memory import chunks

Distance = Literal["squared", "euclidean"]


class MemoryBank:
    """Patch vectors to be near to, and how far each of them is trusted.

    Attributes:
        vectors: ``(m, D)`` float32.
        weights: ``(m,)`` float32 outlier scores W of the vectors; near 1 for normal patches.
    """

    def __init__(self, vectors: Tensor, weights: Tensor) -> None:
        self.vectors = vectors
        self.weights = weights
        # Distances do not feel a shift; around the mean they lose fewest digits.
        self._centre = vectors.mean(dim=0)
        self._transposed = (vectors - self._centre).T.contiguous()  # (D, m)
        self._half_norms = self._transposed.square().sum(dim=0) / 2

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(
        self, patches: Tensor, count: int = 1, owners: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Find each patch's nearest bank vectors, exactly.

        Args:
            patches: ``(q, D)``.
            count: how many neighbours, at most m.
            owners: the image each patch ``(q,)`` and each bank vector ``(m,)`` is from; vectors
                of a patch's own image are passed over, so that training patches can be judged
                as if their image had not been there.

        Returns:
            ``(q, count)`` squared distances, nearest first, and ``(q, count)`` indices.
        """
        squared = torch.empty(len(patches), count, device=patches.device)
        index = torch.empty(len(patches), count, dtype=torch.long, device=patches.device)
        for chunk in chunks(len(patches), bytes_per_item=4 * len(self)):
            query = patches[chunk]
            # |m|^2/2 - q.m orders the bank as the distance does.
            order = torch.addmm(self._half_norms, query - self._centre, self._transposed, alpha=-1)
            if owners is not None:
                order[owners[0][chunk].unsqueeze(1) == owners[1]] = torch.inf
            if count == 1:
                found = order.argmin(dim=1, keepdim=True)
            else:
                found = order.topk(count, dim=1, largest=False).indices
            # The distance itself is taken from the difference, which keeps its digits when small.
            difference = query.unsqueeze(1) - self.vectors[found]  # (q, 1, D) - (q, count, D)
            index[chunk] = found
            squared[chunk] = difference.square().sum(dim=2)
        return squared, index

    def score(
        self, patches: Tensor, distance: Distance, owners: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """``(q, D)`` -> ``(q,)`` patch scores W(m*) * d(p, m*)^2, or with the plain distance.

        m* is the nearest bank vector (see ``nearest`` for ``owners``). Scores are at least 0;
        larger is more anomalous.
        """
        squared, index = self.nearest(patches, owners=owners)
        scores = squared if distance == "squared" else squared.sqrt()
        return (scores * self.weights[index])[:, 0]
