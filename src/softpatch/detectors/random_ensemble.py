"""The median over several small random banks: no rule for noise at all.

What is rare in training is in few of the banks, so that the median does not know it; what is usual
is near to a vector of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self, Unpack

import torch
from torch import Tensor

from softpatch.bank.bank_ensemble import BankEnsemble
from softpatch.bank.memory_bank import Distance
from softpatch.bank.random_draw import random_draw
from softpatch.calling.threshold import MOST_HELD_OUT
from softpatch.detectors.bank_options import BankOptions
from softpatch.detectors.calibrated import FALSE_ALARMS, LOOK_SHARE, CalibratedDetector
from softpatch.detectors.calibration import Calibration, calibrate
from softpatch.detectors.estimate import FitCost, search_seconds
from softpatch.detectors.options import CommonOptions
from softpatch.detectors.patch_table import LocalPatches, PatchTable
from softpatch.detectors.run import Run
from softpatch.ranges.table import check_all
from softpatch.storage.model_file import LARGEST_NUMBER

BANKS = 8
BANK_SIZE = 1000  # vectors in each


@dataclass(frozen=True)
class LearnedEnsemble:
    """What a fit of ``RandomEnsemble`` leaves behind.

    Attributes:
        image_names: of the training images, in order.
        options: how patches are scored.
        banks: the memory banks.
        calibration: normal limit and threshold.
    """

    image_names: list[str]
    options: BankOptions
    banks: BankEnsemble
    calibration: Calibration

    def score(self, patches: Tensor) -> Tensor:
        """``(B, P, D)`` -> ``(B, P)`` patch scores, at least 0."""
        return self.options.patch_scores(self.banks, patches)

    def image_scores(self, patches: Tensor, scores: Tensor) -> Tensor:
        """``(B, P)`` scores -> ``(B,)``: the worst patch decides, whatever the patches are."""
        return self.options.image_scores(self.banks, patches, scores)

    def tensors(self) -> dict[str, Tensor]:
        """What a model file holds of it."""
        return {"banks": self.banks.vectors, **self.calibration.tensors()}

    @classmethod
    def restored(
        cls,
        header: dict[str, Any],
        tensors: dict[str, Tensor],
        options: BankOptions,
        banks: int,
        dimension: int,
    ) -> Self:
        """What a model file, which may hold anything, has of that many banks.

        Raises:
            KeyError, TypeError, ValueError: it has none, or not of a detector with these options
                and D numbers a patch.
        """
        vectors = tensors["banks"]
        if vectors.ndim != 3 or vectors.dtype != torch.float32 or len(vectors) != banks:
            raise ValueError("the banks are not as many as the options say, or none")
        if not 0 < vectors.shape[1] <= options.bank_size:
            raise ValueError("the banks are not of the size that the options say")
        if vectors.shape[2] != dimension:
            raise ValueError("the banks' vectors are not this backbone's patches")
        if vectors.abs().max() > LARGEST_NUMBER:
            raise ValueError("the banks hold numbers no patch has")
        names = [str(name) for name in header["images"]]
        calibration = Calibration.restored(header, tensors)
        return cls(names, options, BankEnsemble(vectors), calibration)


class RandomEnsemble(CalibratedDetector):
    """Several banks drawn at random; the median of the distances to them is a patch's score.

    Each bank is a uniform draw from all training patches, without replacement and by ``seed``; one
    bank alone is that of ``RandomBank`` with the same seed and size.

    Args:
        banks: how many.
        bank_size: vectors in each; all training patches, if there are fewer.
        distance: patch score is the ``squared`` median or the ``euclidean`` one.
        max_false_alarms: choose a threshold that so large a share of good images exceeds at
            most; scores the training images, which takes as long as to predict them. 0 or None
            chooses none.
        look_share: choose a look limit, too, that so large a share of good images exceeds at most:
            they are worth a look. 0 or None chooses none.
        options: see ``CommonOptions``.
    """

    method: ClassVar[str] = "random-ensemble"

    def __init__(
        self,
        *,
        banks: int = BANKS,
        bank_size: int = BANK_SIZE,
        distance: Distance = "squared",
        max_false_alarms: float | None = FALSE_ALARMS,
        look_share: float | None = LOOK_SHARE,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(max_false_alarms=max_false_alarms, look_share=look_share, **options)
        check_all(banks=banks, bank_size=bank_size, distance=distance)
        self.banks = banks
        self.bank_size = bank_size
        self.distance = distance

    @property
    def bank_options(self) -> BankOptions:
        """Those of each bank: any share of the training patches, up to ``bank_size``."""
        return BankOptions(
            1.0, self.bank_size, self.distance, self.max_false_alarms, self.seed,
            look_share=self.look_share,
        )  # fmt: skip

    def _learn(self, table: PatchTable, run: Run) -> LearnedEnsemble:
        images, positions, dimension = table.shape
        patches = images * positions
        size = self.bank_options.coreset_size(patches)
        picks = torch.stack(
            [random_draw(patches, size, self.seed, number) for number in range(self.banks)]
        )  # (b, m)
        banks = BankEnsemble(table.take(picks.flatten()).view(self.banks, size, dimension))
        calibration = calibrate(banks, self.bank_options, table, picks, None, run)
        return LearnedEnsemble(table.names, self.bank_options, banks, calibration)

    def _restored(self, header: dict[str, Any], tensors: dict[str, Tensor]) -> LearnedEnsemble:
        return LearnedEnsemble.restored(
            header, tensors, self.bank_options, self.banks, self.extractor.dimension
        )

    def _cost(self, sample: LocalPatches, images: int) -> FitCost:
        patches = len(sample.flat) * images // len(sample.patches)
        vectors = self.banks * self.bank_options.coreset_size(patches)
        calibrating = {"calibrate": search_seconds(sample, min(images, MOST_HELD_OUT), vectors)}
        return FitCost(
            seconds=calibrating if self.max_false_alarms else {},
            arrays=[],
            model=4 * vectors * sample.shape[2],
        )
