"""What SoftPatch and PatchCore share: a bank, scored by the distance to its nearest vector."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self, Unpack

import torch
from torch import Tensor

from softpatch.bank.memory_bank import Distance, MemoryBank
from softpatch.compute.progress import Progress, silent
from softpatch.detectors.bank_options import BANK_SIZE, BankOptions
from softpatch.detectors.calibrated import FALSE_ALARMS, LOOK_SHARE, CalibratedDetector
from softpatch.detectors.comparison import compared_length, to_compare
from softpatch.detectors.estimate import FitCost, bank_cost
from softpatch.detectors.learned_bank import LearnedBank
from softpatch.detectors.options import CommonOptions
from softpatch.detectors.patch_table import LocalPatches
from softpatch.detectors.update import admit_all, score_update, update
from softpatch.images.sources import Images, OnUnreadable, noting, warn_unreadable
from softpatch.noise.policy import NoisePolicy
from softpatch.ranges.table import check, check_all
from softpatch.runtime.appearance import UsualAppearance
from softpatch.storage.lineage import Lineage, image_digests


class BankDetector(CalibratedDetector):
    """A detector with a memory bank. A method adds ``_learn``, and with noise its policy.

    Attributes after ``fit``, beside those of ``CalibratedDetector``:
        bank_: the ``MemoryBank``.
    """

    _learned: LearnedBank | None

    def __init__(
        self,
        *,
        coreset_ratio: float = 0.1,
        bank_size: int = BANK_SIZE,
        distance: Distance = "squared",
        max_false_alarms: float | None = FALSE_ALARMS,
        look_share: float | None = LOOK_SHARE,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(max_false_alarms=max_false_alarms, look_share=look_share, **options)
        check_all(coreset_ratio=coreset_ratio, bank_size=bank_size, distance=distance)
        self.coreset_ratio = coreset_ratio
        self.bank_size = bank_size
        self.distance = distance

    # -- what a method with noise adds -------------------------------------------------------

    def _policy(self) -> NoisePolicy | None:
        """What is done about noise by a discriminator; None does nothing."""
        return None

    # ----------------------------------------------------------------------------------------

    @property
    def bank_options(self) -> BankOptions:
        """The options that the bank and its scores depend on."""
        return BankOptions(
            self.coreset_ratio, self.bank_size, self.distance, self.max_false_alarms, self.seed,
            look_share=self.look_share,
        )  # fmt: skip

    @property
    def learned_(self) -> LearnedBank:
        """See ``Detector``."""
        learned = super().learned_
        assert isinstance(learned, LearnedBank)
        return learned

    @property
    def bank_(self) -> MemoryBank:
        """See the class."""
        return self.learned_.bank

    def update(
        self,
        images: Images,
        *,
        forget: float = 0.0,
        on_unreadable: OnUnreadable = warn_unreadable,
        progress: Progress = silent,
    ) -> Self:
        """Learn from more images, of which most are good, without those learned from before.

        As in ``fit``, outlier patches stay out of the bank. It grows by ``coreset_ratio`` of the
        new patches, to ``bank_size`` at most; old vectors stay, but for what the new images show
        to be outliers and, where there is no room, the new ones' share. The threshold is chosen
        again, unless it was set otherwise since.

        Args:
            images: as in ``fit``; one is enough. Those learned before are learned again.
            forget: share of the bank's vectors, drawn by ``seed``, that are forgotten first. A
                vector outlives u updates with probability (1 - forget) ** u, unless the new
                images bring its like again. 0 forgets nothing.
            on_unreadable: as in ``fit``.
            progress: as in ``fit``.

        Returns:
            itself, the next version of the model; as it was where an error is raised.

        Raises:
            NotFittedError: before ``fit``.
            DatasetError: no readable images, or of a size the model cannot compare.
            UsageError: ``forget`` outside [0, 1).
            ScratchError: no room for temporary files.
        """
        forget = check("forget", forget)
        learned = replace(self.learned_, options=self.bank_options)
        parent = self.digest()
        note, skipped = noting(on_unreadable)
        run = self._run(progress)
        with torch.inference_mode():
            judge = None if self.appearance_ is None else self.appearance_.check
            table = self.embedder.collect(images, note, run, least=1, judge=judge)
            policy = self._policy()
            if policy is None:
                scores = admit_all(learned, table)
            else:
                compared = to_compare(table, policy.discriminator, self.extractor.embedding, run)
                scores = score_update(learned, compared, policy, run)
            self._learned = update(learned, table, scores, forget, run)
        self.skipped_ = skipped
        if self.appearance_ is not None:
            self.appearance_ = self.appearance_.joined(UsualAppearance.of(table.appearances))
        self.digests_ = [*self.digests_, *image_digests(table.names)]
        self.lineage_ = Lineage(self.lineage_.version + 1, (parent,), len(table.names))
        return self

    def _restored(self, header: dict[str, Any], tensors: dict[str, Tensor]) -> LearnedBank:
        policy = self._policy()
        embedding = self.extractor.embedding
        compared = None if policy is None else compared_length(policy.discriminator, embedding)
        return LearnedBank.restored(
            header, tensors, self.bank_options, self.extractor.dimension, compared
        )

    def _cost(self, sample: LocalPatches, images: int) -> FitCost:
        policy = self._policy()
        noise = None if policy is None else (policy, self.extractor.embedding)
        return bank_cost(sample, images, self.bank_options, noise)
