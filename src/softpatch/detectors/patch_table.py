"""The patches of all training pictures, gathered view by view into one large array."""

from __future__ import annotations

import torch
from torch import Tensor

from softpatch.compute.scratch import ScratchSpace
from softpatch.errors import DatasetError
from softpatch.images.roi import Tile
from softpatch.runtime.tiling import TileLayout


class TrainingPatches:
    """Collects patches picture by picture; pictures need not have the same number of views.

    Attributes:
        names: of the pictures so far, in order.
        layouts: of the views of each.
    """

    def __init__(
        self, workspace: ScratchSpace, pictures: int, positions: int, dimension: int
    ) -> None:
        """Prepare for so many pictures, ``positions`` patches a view, of that dimension."""
        self.names: list[str] = []
        self.layouts: list[TileLayout] = []
        self._workspace = workspace
        self._pictures = pictures
        self._positions = positions
        self._flat = torch.empty(0, dimension)
        self._filled = 0
        self._counts: list[int] = []  # patches of every picture
        self._cut_out = False  # by a region of interest

    def add(self, view: Tile, patches: Tensor) -> None:
        """Append the ``(P, D)`` patches of a view that lie inside the region of interest."""
        if view.first:
            self.names.append(view.name)
            self.layouts.append(view.layout)
            self._counts.append(0)
        if view.inside is not None:
            patches = patches[view.inside]
            self._cut_out = True
        end = self._filled + len(patches)
        if end > len(self._flat):
            self._grow(view)
        self._flat[self._filled : end] = patches
        self._filled = end
        self._counts[-1] += len(patches)

    def by_position(self) -> tuple[Tensor, Tensor]:
        """All patches as ``(M, P, D)``, and ``(M,)`` int64: the picture each of the M is from.

        A position is one of the picture, or, where the pictures have different numbers of tiles,
        one of a tile: every tile is then compared with all others.

        Raises:
            DatasetError: a region of interest in tiled pictures of different sizes.
        """
        positions, image_index = arrange(self._counts, self._positions, self._cut_out)
        patches = self._flat[: self._filled].view(-1, positions, self._flat.shape[1])
        return patches, image_index.to(patches.device)

    def _grow(self, view: Tile) -> None:
        # All pictures are expected to be as large as the first: nothing moves then.
        a_picture = self._positions * len(view.layout.tiles)
        if view.region is not None:
            a_picture = int(view.region.sum())
        size = max(self._pictures * a_picture, 2 * len(self._flat))
        grown = self._workspace.empty(size, self._flat.shape[1])
        grown[: self._filled] = self._flat[: self._filled]
        self._flat = grown


def arrange(counts: list[int], positions: int, cut_out: bool) -> tuple[int, Tensor]:
    """How patches of pictures are compared: see ``TrainingPatches.by_position``.

    Args:
        counts: patches of every picture.
        positions: patches of a view.
        cut_out: whether a region of interest has left some out.

    Returns:
        P, and ``(M,)`` int64 image_index.

    Raises:
        DatasetError: see there.
    """
    image_index = torch.arange(len(counts))
    if len(set(counts)) == 1:
        return counts[0], image_index
    if cut_out:
        raise DatasetError("a region of interest needs tiled pictures of one size; these differ")
    return positions, image_index.repeat_interleave(torch.tensor(counts) // positions)
