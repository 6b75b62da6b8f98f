"""PatchCore (Roth et al. 2022): coreset memory bank and nearest-neighbour scores.

It is SoftPatch without the noise discriminator and without soft weights, and the baseline that
contaminated training data breaks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from softpatch.bank.memory_bank import Distance, MemoryBank
from softpatch.detectors.bank_detector import BankDetector
from softpatch.detectors.bank_options import BANK_SIZE, BankOptions
from softpatch.detectors.calibrated import FALSE_ALARMS, LOOK_SHARE
from softpatch.detectors.calibration import calibrate
from softpatch.detectors.learned_bank import LearnedBank
from softpatch.detectors.options import CommonOptions
from softpatch.detectors.patch_table import PatchTable
from softpatch.detectors.run import Run
from softpatch.ranges.table import check_all


class PatchCore(BankDetector):
    """PatchCore, sharing features, coreset, bank and maps with SoftPatch.

    Args:
        coreset_ratio: size of the memory bank as a share of all training patches.
        bank_size: vectors in the bank at most, whatever their share.
        distance: patch score is the ``squared`` distance (as the released SoftPatch code) or the
            ``euclidean`` one.
        max_false_alarms: choose a threshold that so large a share of good images exceeds at
            most; scores the training images, which takes as long as to predict them. 0 or None
            chooses none.
        look_share: choose a look limit, too, that so large a share of good images exceeds at most:
            they are worth a look. 0 or None chooses none.
        reweight: PatchCore's own image-score re-weighting over 9 neighbours (its eq. 7).
        options: see ``CommonOptions``.
    """

    method: ClassVar[str] = "patchcore"

    def __init__(
        self,
        *,
        coreset_ratio: float = 0.1,
        bank_size: int = BANK_SIZE,
        distance: Distance = "squared",
        max_false_alarms: float | None = FALSE_ALARMS,
        look_share: float | None = LOOK_SHARE,
        reweight: bool = False,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(
            coreset_ratio=coreset_ratio, bank_size=bank_size, distance=distance,
            max_false_alarms=max_false_alarms, look_share=look_share, **options,
        )  # fmt: skip
        check_all(reweight=reweight)
        self.reweight = reweight

    @property
    def bank_options(self) -> BankOptions:
        """The options that the bank and its scores depend on."""
        return replace(super().bank_options, reweight=self.reweight)

    def _learn(self, table: PatchTable, run: Run) -> LearnedBank:
        options = self.bank_options
        size = options.coreset_size(table.shape[0] * table.shape[1])
        picks = self._picks(table, size, run)
        vectors = table.take(picks)
        bank = MemoryBank(vectors, torch.ones(len(picks), device=vectors.device))
        calibration = calibrate(bank, options, table, picks, None, run)
        return LearnedBank(table.names, options, bank, calibration)

    def _picks(self, table: PatchTable, size: int, run: Run) -> Tensor:
        """``(m,)`` int64: which of the M * P patches are the bank, ``size`` at most."""
        return table.coreset(size, None, self.seed, run)
