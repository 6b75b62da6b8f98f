"""The patches of all training images, ``(M, P, D)``, wherever they are kept.

A method learns from a ``PatchTable`` and never asks where it is: ``LocalPatches`` holds a tensor,
``softpatch.distributed.sharded_patches`` blocks of positions on a cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Protocol, Self

import torch
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.compute.scratch import ScratchSpace, chunks
from softpatch.detectors.run import Run
from softpatch.errors import DatasetError, ImageError
from softpatch.images.roi import RegionOfInterest, Tile
from softpatch.images.sources import OnUnreadable
from softpatch.noise.discriminators import Discriminator, outlier_scores
from softpatch.runtime.appearance import Appearance
from softpatch.runtime.tiling import TileLayout

POSITIONS = 28  # of the patch grid, scored between two files of a checkpoint


class PatchTable(Protocol):
    """``(M, P, D)`` patches of M images, or of M tiles where images differ in size.

    Attributes:
        names: of the readable images, in order.
        layouts: of the tiles of each image.
        appearances: what each image looks like.
        grid: (h, w) patches of a tile.
        image_index: ``(M,)`` int64, ascending: which of ``names`` each of the M is from.
        inside: ``(tiles, h * w)`` bool, which patches of an image the P are; None for all of them.
    """

    names: list[str]
    layouts: list[TileLayout]
    appearances: list[Appearance]
    grid: tuple[int, int]
    image_index: Tensor
    inside: Tensor | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """M, P and D."""
        ...

    def at_hand(self, rows: Tensor) -> tuple[LocalPatches, Tensor]:
        """Patches in this process, and where among them the ``(r,)`` rows of the M are."""
        ...

    def take(self, picks: Tensor) -> Tensor:
        """``(m,)`` indices into the M * P patches -> ``(m, D)``."""
        ...

    def map(
        self, function: Callable[[Tensor], Tensor], length: int, scratch: ScratchSpace
    ) -> LocalPatches:
        """A function of each patch, ``(r, P, D)`` -> ``(r, P, length)``, of all of them."""
        ...

    def outlier_scores(self, discriminator: Discriminator, run: Run) -> Tensor:
        """``(M, P)`` float32 scores W: patches compared across the images."""
        ...

    def coreset(self, size: int, eligible: Tensor | None, seed: int, run: Run) -> Tensor:
        """``(m,)`` indices of patches picked farthest-first, of the ``(M, P)`` bool eligible."""
        ...


@dataclass
class LocalPatches:
    """A ``PatchTable`` in this process; ``patches`` is ``(M, P, D)`` float32 and may be spilled."""

    patches: Tensor
    image_index: Tensor
    names: list[str]
    layouts: list[TileLayout]
    appearances: list[Appearance]
    grid: tuple[int, int]
    inside: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """M, P and D."""
        images, positions, dimension = self.patches.shape
        return images, positions, dimension

    @property
    def flat(self) -> Tensor:
        """``(M * P, D)``."""
        return self.patches.flatten(0, 1)

    def at_hand(self, rows: Tensor) -> tuple[Self, Tensor]:
        """All patches: nothing is copied."""
        return self, rows

    def take(self, picks: Tensor) -> Tensor:
        """See ``PatchTable``."""
        return self.flat[picks]

    def map(
        self, function: Callable[[Tensor], Tensor], length: int, scratch: ScratchSpace
    ) -> LocalPatches:
        """See ``PatchTable``; image by image, so the function may also look around a patch."""
        images, positions, dimension = self.shape
        mapped = scratch.empty(images, positions, length)
        for chunk in chunks(images, bytes_per_item=8 * positions * dimension):
            mapped[chunk] = function(self.patches[chunk])
        return replace(self, patches=mapped)

    def outlier_scores(self, discriminator: Discriminator, run: Run) -> Tensor:
        """See ``PatchTable``; with a checkpoint, a few positions at a time and each once."""
        if run.checkpoint is None:
            return outlier_scores(discriminator, self.patches, run.progress)
        positions = self.shape[1]
        at_once = POSITIONS if discriminator.by_position else positions
        scores = []
        for start in range(0, positions, at_once):
            step = f"outlier scores from {start}"
            kept = run.checkpoint.get(step)
            if kept is None:
                part = outlier_scores(discriminator, self.patches[:, start : start + at_once])
                kept = {"scores": part.T.contiguous()}  # (p, M)
                run.checkpoint.put(step, kept)
            scores.append(kept["scores"].to(self.patches.device))
            run.progress("discriminate", min(start + at_once, positions), positions)
        return torch.cat(scores).T.contiguous()  # (P, M) -> (M, P)

    def coreset(self, size: int, eligible: Tensor | None, seed: int, run: Run) -> Tensor:
        """See ``PatchTable``."""
        return greedy_coreset(
            self.flat, size, eligible=None if eligible is None else eligible.flatten(), seed=seed,
            scratch=run.scratch, checkpoint=run.checkpoint, progress=run.progress,
        )  # fmt: skip


class PatchCollector:
    """Collects patches tile by tile; images need not have the same number of tiles.

    Attributes:
        names: of the images so far, in order.
        layouts: of the tiles of each.
        appearances: what each looks like.
    """

    def __init__(
        self, scratch: ScratchSpace, images: int, grid: tuple[int, int], dimension: int
    ) -> None:
        """Prepare for that many images, whose tiles have that grid of patches."""
        self.names: list[str] = []
        self.layouts: list[TileLayout] = []
        self.appearances: list[Appearance] = []
        self._scratch = scratch
        self._images = images
        self._grid = grid
        self._flat = torch.empty(0, dimension)
        self._filled = 0
        self._counts: list[int] = []  # patches of every image

    def add(self, tile: Tile, patches: Tensor) -> None:
        """Append the ``(h * w, D)`` patches of a tile, those inside the region of interest."""
        if tile.first:
            self.names.append(tile.name)
            self.layouts.append(tile.layout)
            self.appearances.append(tile.appearance)
            self._counts.append(0)
        if tile.inside is not None:
            patches = patches[tile.inside]
        end = self._filled + len(patches)
        if end > len(self._flat):
            self._grow(tile)
        self._flat[self._filled : end] = patches
        self._filled = end
        self._counts[-1] += len(patches)

    def keep_usual(self, on_unreadable: OnUnreadable) -> None:
        """Leave out images with other numbers of patches than more than half of all have."""
        usual, times = Counter(self._counts).most_common(1)[0]
        if 2 * times <= len(self._counts):
            return
        begin = self._filled = 0
        kept = [count == usual for count in self._counts]
        for name, count, keep in zip(self.names, self._counts, kept, strict=True):
            if keep:
                patches = self._flat[begin : begin + count]
                if self._filled < begin:
                    self._flat[self._filled : self._filled + count] = patches.clone()
                self._filled += count
            else:
                reason = "of another size than most; a region of interest needs tiles of one size"
                on_unreadable(ImageError(name, reason))
            begin += count
        self.names = list(compress(self.names, kept))
        self.layouts = list(compress(self.layouts, kept))
        self.appearances = list(compress(self.appearances, kept))
        self._counts = list(compress(self._counts, kept))

    def table(self, roi: RegionOfInterest | None) -> LocalPatches:
        """All patches as a table.

        Raises:
            DatasetError: a region of interest in tiled images of different sizes.
        """
        positions, image_index = arrange(self._counts, self._grid, roi)
        patches = self._flat[: self._filled].view(-1, positions, self._flat.shape[1])
        return LocalPatches(
            patches, image_index.to(patches.device), self.names, self.layouts, self.appearances,
            self._grid, None if roi is None else roi.inside(self.layouts[0], self._grid),
        )  # fmt: skip

    def _grow(self, tile: Tile) -> None:
        # All images are expected to be as large as the first, so this happens once.
        grid_size = self._grid[0] * self._grid[1]
        an_image = grid_size * len(tile.layout.tiles)
        if tile.region is not None:
            an_image = int(tile.region.sum())
        size = max(self._images * an_image, 2 * len(self._flat))
        grown = self._scratch.empty(size, self._flat.shape[1])
        grown[: self._filled] = self._flat[: self._filled]
        self._flat = grown


def arrange(
    counts: Sequence[int], grid: tuple[int, int], roi: RegionOfInterest | None
) -> tuple[int, Tensor]:
    """P and ``(M,)`` int64 image indices, of images with so many patches each.

    Images are compared with images. Where they have different numbers of tiles, a position is one
    of a tile, and every tile is compared with all others.

    Raises:
        DatasetError: a region of interest in tiled images of different sizes.
    """
    image_index = torch.arange(len(counts))
    if len(set(counts)) == 1:
        return counts[0], image_index
    if roi is not None:
        raise DatasetError("a region of interest needs tiled pictures of one size; these differ")
    positions = grid[0] * grid[1]
    return positions, image_index.repeat_interleave(torch.tensor(counts) // positions)


def require_images(names: Sequence[object], skipped: int, least: int) -> None:
    """Raise DatasetError for fewer readable images than a fit or an update needs."""
    if len(names) < least:
        raise DatasetError(
            f"{len(names)} readable training pictures ({skipped} skipped); at least {least} "
            f"{'is' if least == 1 else 'are'} needed"
        )
