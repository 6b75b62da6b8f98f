"""Training patches on a cluster, as a ``PatchTable``: what a cluster changes about a fit.

Up to ``EXACT_PATCHES`` the patches are gathered here for the coreset, and a fit is byte for byte
the one without a cluster, on processors of one kind. Beyond, they stay where they are and the
coreset is picked in shards. Outlier scores of positions are computed where the positions are,
either way; what a position-free discriminator compares comes here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors.embedder import Embedder
from softpatch.detectors.patch_table import LocalPatches, require_images
from softpatch.detectors.run import Run
from softpatch.distributed.blocks import Blocks, Floats, concatenated, embed_on
from softpatch.distributed.cluster import Cluster
from softpatch.distributed.sharded_coreset import Coverage, sharded_coreset
from softpatch.errors import UsageError
from softpatch.images.sources import Images, OnUnreadable, listed_sources, noting
from softpatch.noise.discriminators import Discriminator, outlier_scores
from softpatch.ranges.table import check_all
from softpatch.runtime.appearance import Appearance
from softpatch.runtime.tiling import TileLayout

# Patches up to which ``auto`` is exact: 8 GB in this process at 1,024 numbers each.
EXACT_PATCHES = 2_000_000


@dataclass
class OnCluster:
    """Embeds the images of a fit on a cluster: ``detector.fit(images, embed=OnCluster(cluster))``.

    Attributes:
        cluster: to use.
        coreset: ``exact``, ``sharded``, or ``auto``, see ``EXACT_PATCHES``.
        coverage: how well a bank picked in shards covers the patches; None of an exact one.
    """

    cluster: Cluster
    coreset: str = "auto"
    coverage: Coverage | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Raise UsageError for a coreset there is not."""
        check_all(coreset=self.coreset)

    def __call__(
        self, embedder: Embedder, images: Images, on_unreadable: OnUnreadable, run: Run
    ) -> ShardedPatches:
        """See ``softpatch.detectors.embedder.Embed``.

        Raises:
            DatasetError: fewer than two readable images.
            UsageError: a checkpoint, which fits without a cluster keep.
        """
        if run.checkpoint is not None:
            raise UsageError("a checkpoint is kept by fits without a cluster")
        self.coverage = None
        note, skipped = noting(on_unreadable)
        blocks = embed_on(self.cluster, embedder, listed_sources(images), note, run.progress)
        require_images(blocks.names, len(skipped), least=2)
        return ShardedPatches(blocks, embedder, self, run)


class ShardedPatches:
    """A ``PatchTable`` over blocks of positions on a cluster."""

    def __init__(self, blocks: Blocks, embedder: Embedder, owner: OnCluster, run: Run) -> None:
        self.names: list[str] = blocks.names
        self.layouts: list[TileLayout] = blocks.layouts
        self.appearances: list[Appearance] = blocks.appearances
        self.grid = embedder.extractor.grid
        roi = embedder.roi
        self.inside = None if roi is None else roi.inside(self.layouts[0], self.grid)
        self.shape = blocks.shape
        self.device = embedder.extractor.device
        self.image_index = blocks.image_index.to(self.device)
        images, positions, _ = self.shape
        exact = owner.coreset == "exact"
        self._exact = exact or (owner.coreset == "auto" and images * positions <= EXACT_PATCHES)
        self._blocks = blocks
        self._owner = owner
        self._run = run
        self._gathered: LocalPatches | None = None

    def at_hand(self, rows: Tensor) -> tuple[LocalPatches, Tensor]:
        """Those rows alone, until all patches are gathered."""
        everyone = len(rows) == self.shape[0]
        if self._gathered is not None or (everyone and self._exact):
            return self._here().at_hand(rows)
        found = self._local(self._blocks.rows(rows.cpu()), rows)
        return found, torch.arange(len(rows))

    def take(self, picks: Tensor) -> Tensor:
        """See ``PatchTable``."""
        if self._gathered is not None:
            return self._gathered.take(picks)
        return self._blocks.take(picks.cpu()).to(self.device)

    def map(
        self, function: Callable[[Tensor], Tensor], length: int, scratch: ScratchSpace
    ) -> LocalPatches:
        """See ``PatchTable``."""
        if self._exact:
            return self._here().map(function, length, scratch)
        mapped = scratch.empty(*self.shape[:2], length)
        for block, found in self._blocks.each(_map, function):
            mapped[:, block] = torch.from_numpy(found.copy()).to(self.device)
        return self._local(mapped)

    def outlier_scores(self, discriminator: Discriminator, run: Run) -> Tensor:
        """See ``PatchTable``: each block of positions in a task of its own."""
        scores = torch.empty(self.shape[:2])
        for block, found in self._blocks.each(_outlier_scores, discriminator):
            scores[:, block] = torch.from_numpy(found.copy())
            run.progress("discriminate", block.stop, self.shape[1])
        return scores.to(self.device)

    def coreset(self, size: int, eligible: Tensor | None, seed: int, run: Run) -> Tensor:
        """See ``PatchTable``: of all patches, gathered here, or in shards."""
        if self._exact:
            return self._here().coreset(size, eligible, seed, run)
        if eligible is None:
            eligible = torch.ones(self.shape[:2], dtype=torch.bool)
        picks, self._owner.coverage = sharded_coreset(
            self._blocks, eligible.cpu(), size, seed, run.progress
        )
        return picks

    def _here(self) -> LocalPatches:
        """All of them, in this process from now on."""
        if self._gathered is None:
            patches = self._blocks.gather(self._run.scratch, self._run.progress)
            self._gathered = self._local(patches)
        return self._gathered

    def _local(self, patches: Tensor, rows: Tensor | None = None) -> LocalPatches:
        image_index = self.image_index if rows is None else self.image_index[rows.to(self.device)]
        return LocalPatches(
            patches.to(self.device),
            image_index,
            self.names,
            self.layouts,
            self.appearances,
            self.grid,
            self.inside,
        )


def _map(function: Callable[[Tensor], Tensor], *parts: Floats) -> Floats:
    """``(M, p, d)`` of a block."""
    mapped: Floats = function(concatenated(parts)).numpy()
    return mapped


def _outlier_scores(discriminator: Discriminator, *parts: Floats) -> Floats:
    """``(M, p)`` of a block."""
    scores: Floats = outlier_scores(discriminator, concatenated(parts)).numpy()
    return scores
