"""A bank that keeps every patch and trusts none alone: what is in few pictures gets a floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from softpatch.bank.memory_bank import MemoryBank
from softpatch.bank.support import COORDINATES, Support, support_of
from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import chunks
from softpatch.detectors.bank_detector import BankDetector
from softpatch.detectors.calibration import calibrate
from softpatch.detectors.estimate import FitCost, coreset_seconds
from softpatch.detectors.learned_bank import LearnedBank
from softpatch.detectors.patch_table import LocalPatches, PatchTable
from softpatch.detectors.run import Run
from softpatch.errors import UsageError
from softpatch.images.sources import Images, OnUnreadable, warn_unreadable

RANKS = (1, 2, 3, 4, 6, 8, 12, 16)  # of the picture whose distance is the floor
# A floor is free where nine of ten training pictures score within 1 % of what they score without.
# Of three quarters of them it is not: magnetic tile, clean, then loses 0.045 of image AUROC.
FREE = 1.01
PICTURES = 0.9
COMPARED = 64  # training pictures that tell
WORST = 24  # of their patches: the rest stay below these with floors, too


class SupportedBank(BankDetector):
    """PatchCore whose bank vectors have floors, see ``softpatch.bank.support``.

    Nothing is kept out of the bank, so that clean pictures lose little; and what only a few
    pictures have hides nothing like it. How many count as few, the floors' rank, the fit finds: the
    largest rank that is free for the training pictures.

    Args:
        coreset_ratio: size of the memory bank as a share of all training patches.
        bank_size: vectors in the bank at most, whatever their share.
        distance: patch score is the ``squared`` distance or the ``euclidean`` one.
        max_false_alarms: choose a threshold that so large a share of good images exceeds at
            most; 0 or None chooses none.
        options: see ``CommonOptions``.
    """

    method: ClassVar[str] = "supported-bank"

    def _learn(self, table: PatchTable, run: Run) -> LearnedBank:
        images, positions, _ = table.shape
        options = self.bank_options
        picks = table.coreset(options.coreset_size(images * positions), None, self.seed, run)
        vectors = table.take(picks)
        own = table.image_index.to(picks.device)[picks // positions].to(vectors.device)
        bank = MemoryBank(vectors, torch.ones(len(picks), device=vectors.device))
        support = support_of(
            vectors, own, max(RANKS) + 1, _pictures(table), len(table.names), run.progress
        )
        rank = free_rank(bank, support, table)
        support = support.first(rank + 1)
        bank = bank.with_floors(support.floors(rank))
        calibration = calibrate(bank, options, table, picks, None, run, support)
        return LearnedBank(table.names, options, bank, calibration, support=support)

    def update(
        self,
        images: Images,
        *,
        forget: float = 0.0,
        on_unreadable: OnUnreadable = warn_unreadable,
        progress: Progress = silent,
    ) -> Self:
        """Refuse: floors are found by comparing all training images.

        Raises:
            UsageError: always.
        """
        del images, forget, on_unreadable, progress
        raise UsageError(f"a {self.method} model cannot be updated; fit again")

    def _cost(self, sample: LocalPatches, images: int) -> FitCost:
        cost = super()._cost(sample, images)
        patches = len(sample.flat) * images // len(sample.patches)
        picks = self.bank_options.coreset_size(patches)
        compared = coreset_seconds(patches, picks, COORDINATES)
        # In the order of the steps: comparing comes between the coreset and the scores.
        seconds = {"coreset": cost.seconds["coreset"], "support": compared, **cost.seconds}
        least = picks * (8 + 2 * 12)  # the picture of each vector, and two others and distances
        return replace(cost, seconds=seconds, model=cost.model + least)


def free_rank(bank: MemoryBank, support: Support, table: PatchTable) -> int:
    """The largest of ``RANKS`` that is free for the training pictures; the smallest if none is.

    Each of ``COMPARED`` pictures is scored as if it had not been seen, with and without floors.
    """
    images = len(table.names)
    ranks = [rank for rank in RANKS if rank < support.distances.shape[1]]
    ratios = []
    for image in torch.linspace(0, images - 1, min(COMPARED, images)).long().tolist():
        rows = (table.image_index == image).nonzero().flatten()
        here, at = table.at_hand(rows)
        patches = here.patches[at.to(here.patches.device)].flatten(0, 1)
        of = torch.full((len(patches),), image, device=patches.device)
        plain, _ = bank.nearest(patches, (of, support.own))
        worst = patches[plain.topk(min(WORST, len(plain))).indices]
        distance = torch.cdist(worst, bank.vectors)
        distance[:, support.own == image] = torch.inf
        floors = [distance.new_zeros(len(bank)), *(support.floors_without(image, k) for k in ranks)]
        scores = torch.stack([torch.maximum(distance, one).amin(dim=1).amax() for one in floors])
        if bool(scores.isfinite().all()):  # else the whole bank is from this picture
            ratios.append(scores[1:] / scores[0].clamp(min=torch.finfo(scores.dtype).tiny))
    if not ratios:
        return RANKS[0]
    usual = torch.quantile(torch.stack(ratios), PICTURES, dim=0).tolist()
    free = [rank for rank, ratio in zip(ranks, usual, strict=True) if ratio <= FREE]
    return max(free, default=RANKS[0])


def _pictures(table: PatchTable) -> Iterator[tuple[Tensor, Tensor]]:
    """Patches ``(r, P, D)`` of some whole pictures and the ``(r,)`` pictures they are from."""
    _, positions, dimension = table.shape
    counts = table.image_index.bincount()
    ends = counts.cumsum(dim=0).tolist()
    a_picture = 16 * positions * dimension * int(counts.max())
    for chunk in chunks(len(ends), bytes_per_item=a_picture):
        rows = torch.arange(ends[chunk.start - 1] if chunk.start else 0, ends[chunk.stop - 1])
        here, at = table.at_hand(rows)
        yield (
            here.patches[at.to(here.patches.device)],
            table.image_index[rows].to(here.patches.device),
        )
