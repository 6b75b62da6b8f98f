"""Support: how far from each bank vector the other training pictures have something like it.

What is in one picture alone, or in a few, may be a defect as well as a rare good patch. Leaving it
out of the bank costs clean sets what is rare; keeping it costs dirty ones the defects. It is kept,
with a floor: nothing near such a vector scores less than the distance from it to the ``rank``-th
nearest other picture. That is what the vector's own patch would score if its picture, and the
``rank - 1`` most similar ones, had not been seen. A vector with many like it has a floor below
what good patches score anyway. It is the reachability distance of Breunig et al. (LOF, 2000), over
pictures instead of patches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from softpatch.bank.sketch import pair_distances, principal_axes
from softpatch.compute.progress import Progress, silent

COORDINATES = 192  # by which the most similar patch of a picture is found; its distance is exact
VECTORS = 4096  # of the bank in a product: 4096 x 784 float32 are 13 MB


@dataclass(frozen=True)
class Support:
    """Which other pictures have what is most like each of m bank vectors.

    Attributes:
        own: ``(m,)`` int64, the picture that each vector is from; -1 for none that is known.
        distances: ``(m, n)`` float32, ascending: to the nearest patch of each of the n most
            similar other pictures; infinite where there are fewer pictures.
        pictures: ``(m, n)`` int64, which pictures these are; -1 where there are fewer.
    """

    own: Tensor
    distances: Tensor
    pictures: Tensor

    def __post_init__(self) -> None:
        """Raise ValueError for what is no support."""
        vectors = len(self.own)
        if self.own.shape != (vectors,) or self.distances.shape[:1] != (vectors,):
            raise ValueError("the support is not of these vectors")
        if self.distances.ndim != 2 or self.distances.shape != self.pictures.shape:
            raise ValueError("distances and pictures of the support do not belong together")
        if self.distances.dtype != torch.float32 or not bool((self.distances >= 0).all()):
            raise ValueError("the support holds numbers that are no distances")
        if {self.own.dtype, self.pictures.dtype} != {torch.int64}:
            raise ValueError("the support is of no pictures")

    @property
    def rank(self) -> int:
        """The largest rank for which every vector's floor is known without any one picture."""
        return self.distances.shape[1] - 1

    def floors(self, rank: int) -> Tensor:
        """``(m,)``: the distance to the ``rank``-th most similar other picture.

        Where there are fewer pictures, to the least similar one; 0 where there is none.
        """
        return _finite(self.distances[:, :rank])

    def floors_without(self, picture: int, rank: int) -> Tensor:
        """The same, as if the picture had not been seen."""
        seen = self.pictures[:, :rank] == picture
        others = self.distances[:, : rank + 1].clone()
        # Without one of the first, the next one is of this rank.
        others[:, :rank][seen] = -torch.inf
        if others.shape[1] > rank:
            others[~seen.any(dim=1), rank] = -torch.inf
        return _finite(others)

    def first(self, count: int) -> Self:
        """With the ``count`` most similar pictures alone."""
        return replace(
            self,
            distances=self.distances[:, :count].contiguous(),
            pictures=self.pictures[:, :count].contiguous(),
        )


def _finite(distances: Tensor) -> Tensor:
    """The largest finite number of each row; 0 where there is none."""
    return distances.where(distances.isfinite(), 0.0).amax(dim=1)


class PictureSearch:
    """The nearest patch of each picture to each of some vectors."""

    def __init__(self, vectors: Tensor, own: Tensor, count: int) -> None:
        """Prepare to find the ``count`` most similar pictures of ``(m, D)`` vectors.

        ``own``: ``(m,)`` the picture that each vector is from, which does not count.
        """
        self.vectors = vectors
        self.own = own
        self.count = count
        self.centre, _, axes = principal_axes(vectors)
        self.axes = axes[:, -COORDINATES:].contiguous()
        self.sketches, self.squares = self._sketch(vectors)
        device = vectors.device
        self.distances = torch.full((len(vectors), 0), torch.inf, device=device)
        self.pictures = torch.full((len(vectors), 0), -1, dtype=torch.long, device=device)

    def see(self, patches: Tensor, pictures: Tensor) -> None:
        """Take notice of some pictures.

        Args:
            patches: ``(r, P, D)``, of pictures or of their tiles.
            pictures: ``(r,)`` int64, ascending, the picture each is from; all of a picture's at
                once.
        """
        several, rows = torch.unique(pictures, return_counts=True)
        count, flat = len(several), patches.flatten(0, 1)
        spans, start = [], 0
        for length in (rows * patches.shape[1]).tolist():
            spans.append(slice(start, start + length))
            start += length
        sketches, squares = self._sketch(flat)
        nearest = torch.full((len(self.vectors), count), torch.inf, device=flat.device)
        winner = torch.zeros(nearest.shape, dtype=torch.long, device=flat.device)
        for start in range(0, len(self.vectors), VECTORS):
            part = slice(start, start + VECTORS)
            for at, span in enumerate(spans):
                products = torch.addmm(
                    squares[span], self.sketches[part], sketches[span].T, alpha=-2
                )
                nearest[part, at], found = products.min(dim=1)
                winner[part, at] = found + span.start
        nearest += self.squares.unsqueeze(1)
        nearest[self.own.unsqueeze(1) == several] = torch.inf
        self._keep(flat, several, nearest, winner)

    def _keep(self, flat: Tensor, several: Tensor, nearest: Tensor, winner: Tensor) -> None:
        """The exact distances of those that are nearer than what was found so far."""
        limit = torch.full((len(self.vectors), 1), torch.inf, device=flat.device)
        if self.distances.shape[1] == self.count:
            limit = self.distances[:, -1:].square()
        take = min(self.count, nearest.shape[1])
        best, at = nearest.topk(take, dim=1, largest=False)
        near = (best <= limit) & best.isfinite()
        row, column = near.nonzero(as_tuple=True)
        exact = torch.full(best.shape, torch.inf, device=flat.device)
        patch = winner[row, at[row, column]]
        exact[row, column] = pair_distances(self.vectors, row, flat, patch).float()
        of = several[at].where(near, -1)
        every = torch.cat([self.distances, exact], dim=1)
        pictures = torch.cat([self.pictures, of], dim=1)
        kept = min(self.count, every.shape[1])
        self.distances, order = every.topk(kept, dim=1, largest=False)
        self.pictures = pictures.gather(1, order)

    def found(self) -> Support:
        """What the pictures seen have."""
        order = self.distances.argsort(dim=1, stable=True)
        return Support(self.own, self.distances.gather(1, order), self.pictures.gather(1, order))

    def _sketch(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, D)`` -> ``(n, q + 1)`` leading coordinates and the rest's norm; squared norms."""
        centred = patches - self.centre
        leading = centred @ self.axes
        squares = centred.square().sum(dim=1)
        rest = (squares - leading.square().sum(dim=1)).clamp(min=0).sqrt()
        return torch.cat([leading, rest.unsqueeze(1)], dim=1), squares


def support_of(
    vectors: Tensor,
    own: Tensor,
    count: int,
    pictures: Iterator[tuple[Tensor, Tensor]],
    total: int,
    progress: Progress = silent,
) -> Support:
    """The ``count`` most similar other pictures of each vector.

    Args:
        vectors: ``(m, D)`` float32.
        own: ``(m,)`` int64, the picture each is from.
        count: n.
        pictures: ``(r, P, D)`` patches and the ``(r,)`` pictures they are from, a few at a time.
        total: how many pictures there are.
        progress: told of the step ``support`` in pictures.
    """
    search = PictureSearch(vectors, own, count)
    for patches, of in pictures:
        search.see(patches, of)
        progress("support", int(of[-1]) + 1, total)
    return search.found()
