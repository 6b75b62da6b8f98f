"""Features of the coarsest layer, averaged over 3 x 3 patches.

To compare patches from anywhere in two images, their surroundings serve better than fine detail,
which differs everywhere; docs/robust.md has the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch.nn.functional as F
from torch import Tensor

from softpatch.features.embedding import PatchEmbedding
from softpatch.features.projection import projection_matrix

LENGTH = 128  # numbers per patch at most


@dataclass(frozen=True)
class CoarseFeatures:
    """Patches -> their features of the coarsest layer, projected at random if these are long.

    Attributes:
        part: where a patch vector has them.
        rooted: whether they are square roots, which is undone: roots make faint differences, which
            are everywhere, as large as others.
    """

    part: slice
    rooted: bool

    @classmethod
    def of(cls, embedding: PatchEmbedding) -> CoarseFeatures:
        """For the patches of this embedding."""
        return cls(embedding.coarsest, embedding.kind == "rooted")

    @property
    def length(self) -> int:
        """d, numbers per patch."""
        return min(LENGTH, int(self.part.stop - self.part.start))

    def __call__(self, patches: Tensor) -> Tensor:
        """``(..., D)`` -> ``(..., d)``."""
        numbers = patches[..., self.part]
        if self.rooted:
            numbers = numbers * numbers.abs()
        if self.length == numbers.shape[-1]:
            return numbers
        return numbers @ self._matrix.to(numbers)

    @cached_property
    def _matrix(self) -> Tensor:
        length = self.part.stop - self.part.start
        return projection_matrix("orthonormal", length, self.length, seed=0)


def averaged(numbers: Tensor, grid: tuple[int, int], inside: Tensor | None = None) -> Tensor:
    """The mean of each patch and its eight neighbours, or those of them that are there.

    Args:
        numbers: ``(n, P, d)`` of patches, tile by tile.
        grid: (h, w) patches of a tile.
        inside: ``(tiles, h * w)`` bool, which of these patches the P are; all if None.

    Returns:
        ``(n, P, d)``.
    """
    images, _, length = numbers.shape
    if inside is None:
        return _averaged(numbers.reshape(-1, *grid, length)).reshape(numbers.shape)
    canvas = numbers.new_zeros(images, *inside.shape, length)
    canvas[:, inside] = numbers
    there = inside.to(numbers).view(-1, *grid, 1)
    share = _averaged(there).reshape(*inside.shape, 1)
    means = _averaged(canvas.view(-1, *grid, length)).reshape(canvas.shape)
    return (means / share)[:, inside]


def _averaged(maps: Tensor) -> Tensor:
    """``(n, h, w, d)`` means over 3 x 3 places, or those of them on the grid."""
    means = F.avg_pool2d(maps.permute(0, 3, 1, 2), 3, stride=1, padding=1, count_include_pad=False)
    return means.permute(0, 2, 3, 1)
