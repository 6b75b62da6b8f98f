"""The nearest vectors of a bank, by operations that every runtime has."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHUNK = 2048  # bank vectors compared at a time: 51 MB of distances at 8 x 784 patches
CANDIDATES = 2  # looked at exactly; more where more are asked for


class NearestSearch(nn.Module):
    """Exact distances to the nearest bank vectors, in bounded memory.

    Matrix products find the candidates, as |p|^2 + |m|^2 - 2 pm; that difference of large numbers
    loses digits, the fewer the nearer the vectors lie to their centre. So all are centred first,
    and the distances that count are taken from the candidates themselves.
    """

    vectors: Tensor
    centre: Tensor
    norms: Tensor

    def __init__(self, vectors: Tensor) -> None:
        """Take over the ``(m, D)`` bank."""
        super().__init__()
        centre = vectors.mean(dim=0)
        centred = vectors - centre
        self.register_buffer("centre", centre)
        self.register_buffer("vectors", centred)
        self.register_buffer("norms", norms(centred))

    def forward(self, patches: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
        """``(q, D)`` -> ``(q, count)`` distances and int64 indices, nearest first."""
        patches = patches - self.centre
        kept = min(max(count, CANDIDATES), len(self.vectors))
        best, index = self._candidates(patches, slice(0, CHUNK), kept)
        for start in range(CHUNK, len(self.vectors), CHUNK):
            more, where = self._candidates(patches, slice(start, start + CHUNK), kept)
            best, place = torch.cat([best, more], dim=1).topk(kept, dim=1, largest=False)
            index = torch.cat([index, where], dim=1).gather(1, place)
        exact = torch.stack(
            [
                (patches - self.vectors[index[:, rank]]).square().sum(dim=1).sqrt()
                for rank in range(kept)
            ],
            dim=1,
        )
        distances, order = exact.topk(min(count, kept), dim=1, largest=False)
        return distances, index.gather(1, order)

    def _candidates(self, patches: Tensor, part: slice, kept: int) -> tuple[Tensor, Tensor]:
        """Squared distances, less the patch's own norm, and indices of one chunk's nearest."""
        vectors = self.vectors[part]
        found = (self.norms[part] - 2 * (patches @ vectors.T)).topk(
            min(kept, len(vectors)), dim=1, largest=False
        )
        return found.values, found.indices + part.start


def norms(vectors: Tensor) -> Tensor:
    """``(m, D)`` -> ``(m,)`` squared lengths."""
    return vectors.double().square().sum(dim=1).float()
