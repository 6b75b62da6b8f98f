"""PatchCore with a bank drawn at random: what a rule for noise has to be better than.

The coreset is what contamination breaks: farthest-first takes defects first. A uniform draw of as
many patches holds a defect only as often as the training images do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from softpatch.bank.random_draw import random_draw
from softpatch.detectors.bank_options import BankOptions
from softpatch.detectors.patch_table import PatchTable
from softpatch.detectors.patchcore import PatchCore
from softpatch.detectors.run import Run


class RandomBank(PatchCore):
    """PatchCore, all options included, but for the bank: patches drawn uniformly, by ``seed``.

    Updates and merges draw, too: unless something is forgotten, every training patch seen so far
    is equally likely to be in the bank, whichever came first.
    """

    method: ClassVar[str] = "random-bank"

    @property
    def bank_options(self) -> BankOptions:
        """The options that the bank and its scores depend on."""
        return replace(super().bank_options, at_random=True)

    def _picks(self, table: PatchTable, size: int, run: Run) -> Tensor:
        del run  # takes no time
        return random_draw(table.shape[0] * table.shape[1], size, self.seed)
