"""Support: how far from each bank vector the other training pictures have something like it.

What is in one picture alone, or in a few, may be a defect as well as a rare good patch: see
``softpatch.bank.floors`` for what that costs a vector.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from softpatch.bank.bounds import LEFT_OUT, PatchBounds
from softpatch.bank.selection import ordered, smallest_of_rows
from softpatch.bank.sketch import Sketch, pair_distances
from softpatch.compute.scratch import ScratchSpace, chunks
from softpatch.compute.threads import parallel_for

COORDINATES = 192  # by which the most similar patch of a picture is found; its distance is exact
VECTORS = 2048  # of the bank in a product: with 784 patches, 3 MB in bfloat16


@dataclass(frozen=True)
class Support:
    """Which other pictures have what is most like each of m bank vectors.

    Attributes:
        own: ``(m,)`` int64, the picture that each vector is from; -1 for none that is known.
        places: ``(m,)`` int64, the position each vector is from.
        distances: ``(m, n)`` float32, ascending: to the nearest patch of each of the n most
            similar other pictures; infinite where there are fewer pictures.
        pictures: ``(m, n)`` int64, which pictures these are; -1 where there are fewer.
    """

    own: Tensor
    places: Tensor
    distances: Tensor
    pictures: Tensor

    def __post_init__(self) -> None:
        """Raise ValueError for what is no support."""
        vectors = (len(self.own),)
        shapes = [self.own.shape, self.places.shape, self.distances.shape[:1]]
        if any(shape != vectors for shape in shapes):
            raise ValueError("the support is not of these vectors")
        if self.distances.ndim != 2 or self.distances.shape != self.pictures.shape:
            raise ValueError("distances and pictures of the support do not belong together")
        if self.distances.dtype != torch.float32 or not bool((self.distances >= 0).all()):
            raise ValueError("the support holds numbers that are no distances")
        if {self.own.dtype, self.places.dtype, self.pictures.dtype} != {torch.int64}:
            raise ValueError("the support is of no pictures")

    def __len__(self) -> int:
        return len(self.own)

    @property
    def count(self) -> int:
        """n, how many pictures are known of each vector."""
        return self.distances.shape[1]

    def rank(self, rank: int) -> Tensor:
        """``(m,)``: the distance to the ``rank``-th most similar other picture.

        Where there are fewer pictures, to the least similar one; 0 where there is none.
        """
        return _finite(self.distances[:, :rank])

    def rank_without(self, picture: int, rank: int) -> Tensor:
        """The same, as if the picture had not been seen; ``rank`` less than ``count``."""
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

    def take(self, rows: Tensor) -> Self:
        """That of some of the vectors."""
        return replace(
            self,
            own=self.own[rows],
            places=self.places[rows],
            distances=self.distances[rows],
            pictures=self.pictures[rows],
        )

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        moved = {name: tensor.to(device) for name, tensor in vars(self).items()}
        return type(self)(**moved)

    def followed_by(self, others: Support) -> Self:
        """That of these vectors and then of others, with as many pictures as both have."""
        count = min(self.count, others.count)
        one, other = vars(self.first(count)), vars(others.first(count))
        return type(self)(**{name: torch.cat([one[name], other[name]]) for name in one})

    def and_in(self, others: Support) -> Self:
        """With what the same vectors have in other pictures, too; as many are kept.

        A picture in both counts once, by the nearer patch.
        """
        distances = torch.cat([self.distances, others.distances], dim=1)
        pictures = torch.cat([self.pictures, others.pictures], dim=1)
        distances, order = distances.sort(dim=1, stable=True)
        pictures = pictures.gather(1, order)
        again = torch.zeros_like(pictures, dtype=torch.bool)
        for column in range(1, pictures.shape[1]):
            before = pictures[:, :column] == pictures[:, column : column + 1]
            again[:, column] = before.any(dim=1) & (pictures[:, column] >= 0)
        distances, pictures = distances.masked_fill(again, torch.inf), pictures.where(~again, -1)
        kept, order = distances.sort(dim=1, stable=True)
        count = max(self.count, others.count)
        return replace(
            self,
            distances=kept[:, :count].contiguous(),
            pictures=pictures.gather(1, order)[:, :count].contiguous(),
        )

    def by_way_of(self, nearest: Tensor, apart: Tensor, own: Tensor, places: Tensor) -> Self:
        """What vectors have in these pictures, known by a vector of these near to each.

        The picture of the near vector has it, and what that vector has in other pictures is no
        farther than by way of it (triangle inequality): distances are upper bounds. A vector's own
        picture, which may be one of these, does not count.

        Args:
            nearest: ``(q,)`` int64, the near one of the m vectors.
            apart: ``(q,)`` float32, how far it is.
            own: ``(q,)`` int64, the pictures of the vectors themselves.
            places: ``(q,)`` int64, their positions.
        """
        distances = torch.cat([apart.new_zeros(len(apart), 1), self.distances[nearest]], dim=1)
        pictures = torch.cat([self.own[nearest].unsqueeze(1), self.pictures[nearest]], dim=1)
        itself = (pictures == own.unsqueeze(1)) & (pictures >= 0)
        distances = (distances + apart.unsqueeze(1)).masked_fill(itself, torch.inf)
        kept, order = distances.sort(dim=1, stable=True)
        return replace(
            self,
            own=own,
            places=places,
            distances=kept[:, : self.count].contiguous(),
            pictures=pictures.where(~itself, -1).gather(1, order)[:, : self.count].contiguous(),
        )


def _finite(distances: Tensor) -> Tensor:
    """The largest finite number of each row; 0 where there is none."""
    return distances.where(distances.isfinite(), 0.0).amax(dim=1)


def neighbourhood(grid: tuple[int, int], inside: Tensor | None, positions: int) -> Tensor:
    """``(P, 9)`` int64: the positions beside each one in its tile, and itself where there is none.

    Args:
        grid: (h, w) patches of a tile.
        inside: ``(tiles, h * w)`` bool, which patches of a picture the P are; None for all.
        positions: P.
    """
    height, width = grid
    if inside is None:
        inside = torch.ones(positions // (height * width), height * width, dtype=torch.bool)
    number = torch.full((len(inside), height + 2, width + 2), -1)
    number[:, 1:-1, 1:-1].view(len(inside), height, width)[inside.view(-1, height, width)] = (
        torch.arange(positions)
    )
    sides = [number[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    beside = torch.stack(sides, dim=-1).flatten(1, 2)[inside]  # (P, 9)
    return beside.where(beside >= 0, torch.arange(positions).unsqueeze(1))


class PictureSearch:
    """The nearest patch of each picture to each of some vectors: anywhere, and near its place.

    Which patch that is, sketches tell, in low precision where the processor can: the patch found
    may be 0.2 % farther than the nearest one. Its distance is exact.
    """

    def __init__(
        self, vectors: Tensor, own: Tensor, places: Tensor, count: int, beside: Tensor | None,
        scratch: ScratchSpace,
    ) -> None:  # fmt: skip
        """Prepare to find the ``count`` most similar pictures of ``(m, D)`` vectors.

        Args:
            vectors: ``(m, D)`` float32.
            own: ``(m,)`` int64, the picture that each vector is from, which does not count.
            places: ``(m,)`` int64, the position each is from.
            count: n of the supports.
            beside: see ``neighbourhood``; None where positions of pictures do not correspond.
            scratch: for the sketches.
        """
        self.vectors = vectors
        self.own = own
        self.places = places
        self.beside = None if beside is None else beside[places.to(beside.device)].to(own.device)
        every = torch.arange(len(vectors), device=vectors.device)
        sketch = Sketch(vectors, min(LEFT_OUT.values()), COORDINATES)
        self.bounds = PatchBounds(vectors, every, scratch, sketch)
        # Anywhere; and near the same place where that is known.
        self.best = [_MostSimilar(vectors, count) for _ in range(1 if beside is None else 2)]

    def see(self, patches: Tensor, pictures: Tensor, rows: Tensor) -> None:
        """Take notice of some pictures.

        Args:
            patches: ``(r, P, D)``, of pictures or of their tiles.
            pictures: ``(r,)`` int64, ascending, the picture each is from; all of a picture's at
                once.
            rows: ``(r,)`` int64, which of the caller's they are, for ``like``.
        """
        positions = patches.shape[1]
        several, tiles = torch.unique(pictures, return_counts=True)
        flat = patches.flatten(0, 1)
        spans, start = [], 0
        for length in (tiles * positions).tolist():
            spans.append(slice(start, start + length))
            start += length
        centers = self.bounds.centers_from(flat)
        device = flat.device
        shape = len(self.vectors), len(several)
        nearest = [torch.empty(shape, dtype=self.bounds.dtype, device=device) for _ in self.best]
        winner = [torch.empty(shape, dtype=torch.long, device=device) for _ in self.best]

        def compare(part: slice) -> None:
            for at, span in enumerate(spans):
                squared = self.bounds.squared(part, centers[span])
                found = smallest_of_rows(ordered(squared)).unsqueeze(1)
                nearest[0][part, at] = squared.gather(1, found).squeeze(1)
                winner[0][part, at] = found.squeeze(1) + span.start
                if self.beside is not None:
                    beside = self.beside[part]
                    nearest[1][part, at], which = squared.gather(1, beside).min(dim=1)
                    found = beside.gather(1, which.unsqueeze(1)).squeeze(1)
                    winner[1][part, at] = found + span.start

        parallel_for(compare, list(chunks(len(self.vectors), 1, VECTORS)), device)
        own = self.own.unsqueeze(1) == several
        everything = slice(0, len(self.vectors))
        for one, distance, patch in zip(self.best, nearest, winner, strict=True):
            distance[own] = torch.inf
            limit = self.bounds.limit(everything, one.farthest(), centers)
            number = rows.to(device)[patch // positions] * positions + patch % positions
            one.keep(flat, several, distance, patch, number, limit)

    def like(self) -> Tensor:
        """``(m,)`` int64: which of all R * P patches of other pictures is nearest; -1 for none."""
        return self.best[0].nearest()

    def found(self) -> list[Support]:
        """What the pictures seen have, anywhere; and near the same place where that is known."""
        return [Support(self.own, self.places, *one.ascending()) for one in self.best]


class _MostSimilar:
    """The most similar pictures of each vector so far."""

    def __init__(self, vectors: Tensor, count: int) -> None:
        self.vectors = vectors
        self.count = count
        device = vectors.device
        self.distances = torch.full((len(vectors), 0), torch.inf, device=device)
        self.pictures = torch.full((len(vectors), 0), -1, dtype=torch.long, device=device)
        self.numbers = self.pictures

    def farthest(self) -> Tensor:
        """``(m,)`` float32: a picture that is farther is not among the most similar."""
        if self.distances.shape[1] < self.count:
            return torch.full((len(self.vectors),), torch.inf, device=self.vectors.device)
        return self.distances.amax(dim=1)

    def keep(
        self, flat: Tensor, several: Tensor, nearest: Tensor, winner: Tensor, number: Tensor,
        limit: Tensor,
    ) -> None:  # fmt: skip
        """The exact distances of those that may be nearer than what was found so far.

        Args:
            flat: ``(q, D)`` patches.
            several: ``(s,)`` the pictures they are of.
            nearest: ``(m, s)`` approximate squared distances to each picture.
            winner: ``(m, s)`` to which of the patches.
            number: ``(m, s)`` which of all patches these are.
            limit: ``(m,)``: above it they are farther than ``farthest``.
        """
        take = min(self.count, nearest.shape[1])
        best, at = nearest.topk(take, dim=1, largest=False)
        near = (best <= limit.unsqueeze(1)) & best.isfinite()
        row, column = near.nonzero(as_tuple=True)
        exact = torch.full(best.shape, torch.inf, device=flat.device)
        patch = winner[row, at[row, column]]
        exact[row, column] = pair_distances(self.vectors, row, flat, patch).float()
        of = several[at].where(near, -1)
        every = torch.cat([self.distances, exact], dim=1)
        pictures = torch.cat([self.pictures, of], dim=1)
        numbers = torch.cat([self.numbers, number.gather(1, at)], dim=1)
        kept = min(self.count, every.shape[1])
        self.distances, order = every.topk(kept, dim=1, largest=False)
        self.pictures = pictures.gather(1, order)
        self.numbers = numbers.gather(1, order)

    def nearest(self) -> Tensor:
        """``(m,)``: which of all patches is the nearest; -1 where none was seen."""
        if not self.distances.shape[1]:
            return self.numbers.new_full((len(self.vectors),), -1)
        distance, first = self.distances.min(dim=1)
        return self.numbers.gather(1, first.unsqueeze(1)).squeeze(1).where(distance.isfinite(), -1)

    def ascending(self) -> tuple[Tensor, Tensor]:
        """``(m, n)`` distances, ascending, and the pictures."""
        distances, order = self.distances.sort(dim=1, stable=True)
        return distances, self.pictures.gather(1, order)
