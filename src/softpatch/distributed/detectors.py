"""The detectors, fitted on a cluster; what they have learned is what the plain ones learn."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Self

import torch
from torch import Tensor

from softpatch.bank.memory_bank import MemoryBank
from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import ScratchSpace, chunks
from softpatch.detectors import Detector, PaDiM, PatchCore, SoftPatch
from softpatch.detectors.patchcore import MemoryBankDetector, held_out_pictures
from softpatch.detectors.reservoir import PatchReservoir, compress, compression_axes, sampled
from softpatch.detectors.softpatch import Discriminated, suspicion
from softpatch.distributed.cluster import Cluster
from softpatch.distributed.coreset import Coverage, sharded_coreset
from softpatch.distributed.recipe import recipe_of
from softpatch.distributed.shards import Shards, coarse_numbers, shuffle
from softpatch.errors import UsageError
from softpatch.images.sources import Images, OnUnreadable, listed_sources, warn_unreadable
from softpatch.noise.alignment import compared as looked_at
from softpatch.noise.policy import AUTO
from softpatch.storage.checkpoint import Checkpoint

CORESETS = ("auto", "exact", "sharded")
# Patches up to which ``auto`` is exact: 8 GB in this process at 1,024 numbers each.
EXACT_PATCHES = 2_000_000


class OnCluster(Detector):
    """A detector whose pictures are embedded on a cluster, and gathered here to learn from."""

    cluster: Cluster

    def _collect(
        self,
        images: Images,
        workspace: ScratchSpace,
        on_unreadable: OnUnreadable,
        progress: Progress,
        least: int = 2,
    ) -> tuple[Tensor, Tensor, list[str]]:
        shards = self._shuffle(images, on_unreadable, progress, least)
        patches = self._gather(shards, workspace, progress)
        return patches, shards.image_index.to(patches.device), shards.names

    def _shuffle(
        self, images: Images, on_unreadable: OnUnreadable, progress: Progress, least: int = 2
    ) -> Shards:
        shards = shuffle(self.cluster, self, listed_sources(images), on_unreadable, progress)
        self._check_enough(shards.names, least)
        self._layouts = shards.layouts
        return shards

    def _gather(self, shards: Shards, workspace: ScratchSpace, progress: Progress) -> Tensor:
        return shards.gather(workspace, progress)


class _BankOnCluster(OnCluster, MemoryBankDetector):
    """A memory bank whose coreset is picked here, from all patches, or in shards.

    Attributes after ``fit``:
        coverage_: how well a bank picked in shards covers the patches; None of an exact one.
    """

    coreset: str = "auto"
    coverage_: Coverage | None = None
    _shards: Shards | None = None

    def fit(
        self,
        images: Images,
        *,
        on_unreadable: OnUnreadable = warn_unreadable,
        progress: Progress = silent,
        **others: Any,
    ) -> Self:
        self.coverage_ = None
        try:
            return super().fit(images, on_unreadable=on_unreadable, progress=progress, **others)
        finally:
            self._shards = None  # and the cluster lets go of the patches

    def update(self, images: Images, **others: Any) -> Self:
        """Not on a cluster.

        Raises:
            UsageError: always.
        """
        del images, others
        raise UsageError("a model is updated without a cluster; save it and load it again")

    def _gather(self, shards: Shards, workspace: ScratchSpace, progress: Progress) -> Tensor:
        patches = len(shards.image_index) * shards.positions
        if self.coreset == "exact" or (self.coreset == "auto" and patches <= EXACT_PATCHES):
            return shards.gather(workspace, progress)
        self._shards = shards
        return torch.empty(0, shards.positions, shards.dimension)

    def _cover(
        self,
        shards: Shards,
        eligible: Tensor,
        weights: Tensor,
        image_index: Tensor,
        progress: Progress,
    ) -> Tensor:
        """Fill the bank from ``(M, P)`` eligible patches, softened by their weights; the picks."""
        picks, vectors, self.coverage_ = sharded_coreset(
            shards, eligible, self.coreset_size(eligible.numel()), self.seed, progress
        )
        self.bank = MemoryBank(vectors.to(self.device), weights.flatten()[picks].to(self.device))
        drawn = held_out_pictures(int(image_index[-1]) + 1)
        rows = torch.isin(image_index, drawn).nonzero().flatten()
        some = shards.of_rows(rows).to(self.device)
        of_bank = image_index[picks // shards.positions]
        self._set_held_out(
            some, image_index[rows].to(self.device), of_bank.to(self.device), progress
        )
        return picks


class SoftPatchOnCluster(_BankOnCluster, SoftPatch):
    """SoftPatch; each grid position is compared across all pictures in a task of its own.

    Where they are compared anywhere, the coarsest layer's numbers come here to be compared.
    """

    _outlier: Tensor | None = None

    def _gather(self, shards: Shards, workspace: ScratchSpace, progress: Progress) -> Tensor:
        self._score_positions(shards, workspace, progress)  # before the patches are moved here
        return super()._gather(shards, workspace, progress)

    def _score_positions(self, shards: Shards, workspace: ScratchSpace, progress: Progress) -> None:
        """Choose the strategy, and score the patches if positions can be scored apart."""
        if self.discriminator == AUTO:
            some = shards.of_rows(looked_at(len(shards.image_index))).to(self.device)
            self._look_for_alignment(self._project(some, workspace))
            chosen = {**shards.recipe.options, **asdict(self.strategy)}
            shards.recipe = replace(shards.recipe, options=chosen)
        by_position = self._make_discriminator().by_position
        self._outlier = shards.outlier_scores(progress) if by_position else None

    def _scores_of_all(
        self, compared: Tensor, progress: Progress, checkpoint: Checkpoint | None = None
    ) -> Tensor:
        if self._outlier is None:
            return super()._scores_of_all(compared, progress, checkpoint)
        return self._outlier.to(self.device)

    def _scores_of_shards(
        self, shards: Shards, workspace: ScratchSpace, progress: Progress
    ) -> Tensor:
        """``(M, P)`` of patches that stay on the cluster."""
        if self._outlier is not None:
            return self._outlier
        coarse = self._coarse_numbers()
        numbers = workspace.empty(len(shards.image_index), shards.positions, coarse.length)
        for block, found in shards.each(coarse_numbers, coarse):
            numbers[:, block] = torch.from_numpy(found.copy())
        for chunk in chunks(len(numbers), bytes_per_item=16 * numbers[0].numel()):
            numbers[chunk] = self._averaged(numbers[chunk])
        return self._outlier_scores(numbers.to(self.device), progress).cpu()

    def _fit(
        self, patches: Tensor, image_index: Tensor, workspace: ScratchSpace, progress: Progress
    ) -> None:
        if self._shards is None:
            super()._fit(patches, image_index, workspace, progress)
            return
        outlier = self._scores_of_shards(self._shards, workspace, progress)
        self.suspicion_ = suspicion(outlier, image_index)
        eligible = outlier <= self._noise_threshold(outlier.flatten())
        picks = self._cover(self._shards, eligible, self._weights(outlier), image_index, progress)
        length = self._compared_length(self._shards.dimension)
        rows = sampled(len(image_index), self._shards.positions, length, self.seed)
        some = self._shards.of_rows(rows).to(self.device)
        compared = self._compared(some, self._project(some, workspace), workspace)
        directions = compression_axes(compared.flatten(0, 1))
        short = compress(compared, directions)
        self.sample_ = PatchReservoir.of(short, rows, image_index, picks, directions)

    def discriminate(
        self,
        images: Images,
        *,
        on_unreadable: OnUnreadable = warn_unreadable,
        progress: Progress = silent,
    ) -> Discriminated:
        """As ``SoftPatch.discriminate``; only the scores come here."""
        shards = self._shuffle(images, on_unreadable, progress)
        workspace = ScratchSpace(self.memory_limit, self.device)
        self._score_positions(shards, workspace, progress)
        outlier = self._scores_of_shards(shards, workspace, progress)
        grid = self._get_extractor().grid
        return Discriminated(shards.names, shards.layouts, grid, outlier, shards.image_index)


class PatchCoreOnCluster(_BankOnCluster, PatchCore):
    """PatchCore."""

    def _fit(
        self, patches: Tensor, image_index: Tensor, workspace: ScratchSpace, progress: Progress
    ) -> None:
        if self._shards is None:
            super()._fit(patches, image_index, workspace, progress)
            return
        ones = torch.ones(len(image_index), self._shards.positions)
        self._cover(self._shards, ones > 0, ones, image_index, progress)


class PaDiMOnCluster(OnCluster, PaDiM):
    """PaDiM; its Gaussians are fitted here."""


_KINDS: dict[type[Detector], type[OnCluster]] = {
    SoftPatch: SoftPatchOnCluster,
    PatchCore: PatchCoreOnCluster,
    PaDiM: PaDiMOnCluster,
}


def on_cluster(detector: Detector, cluster: Cluster, coreset: str = "auto") -> OnCluster:
    """The detector, not yet fitted, as one that is fitted on a cluster.

    With an ``exact`` coreset its model file is byte for byte the plain detector's, on processors of
    one kind. ``auto`` is exact up to ``EXACT_PATCHES`` and ``sharded`` beyond.

    Raises:
        UsageError: a coreset that the method does not have.
    """
    if coreset not in CORESETS:
        raise UsageError(f"coreset must be one of {', '.join(CORESETS)}, got {coreset!r}")
    if coreset == "sharded" and not isinstance(detector, MemoryBankDetector):
        raise UsageError(f"{detector.method} has no coreset to pick in shards")
    moved = _KINDS[type(detector)](
        **recipe_of(detector).options,
        device=str(detector.device),
        memory_limit=detector.memory_limit,
    )
    moved.cluster = cluster
    if isinstance(moved, _BankOnCluster):
        moved.coreset = coreset
    if detector._extractor is not None:
        moved.share_extractor(detector._extractor)
    return moved
