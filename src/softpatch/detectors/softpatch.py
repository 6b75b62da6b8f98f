"""SoftPatch (Jiang et al. 2022, arXiv 2403.14233): a memory bank that survives dirty data.

The paper's way is to keep outlier patches out of the bank and to soften what is in it. The default
keeps every patch and gives floors to what only a few images have, see docs/robust.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor

from softpatch.bank.floor_rule import FloorRule
from softpatch.bank.memory_bank import Distance, MemoryBank
from softpatch.calling.contamination import ContaminationEstimate, estimate_contamination
from softpatch.compute.progress import Progress, silent
from softpatch.detectors.bank_detector import BankDetector
from softpatch.detectors.bank_options import BANK_SIZE
from softpatch.detectors.calibrated import FALSE_ALARMS, LOOK_SHARE
from softpatch.detectors.calibration import calibrate
from softpatch.detectors.comparison import to_compare
from softpatch.detectors.embedder import Embed, Embedder
from softpatch.detectors.estimate import FitCost, supported_cost
from softpatch.detectors.learned_bank import LearnedBank
from softpatch.detectors.oddest import OddestSpots, oddest_spots
from softpatch.detectors.options import CommonOptions
from softpatch.detectors.patch_table import LocalPatches, PatchTable
from softpatch.detectors.reservoir import PatchReservoir
from softpatch.detectors.run import Run
from softpatch.detectors.supported import learn_supported, support_bank
from softpatch.errors import UsageError
from softpatch.images.sources import Images, OnUnreadable, warn_unreadable
from softpatch.noise.discriminators import (
    Discriminator,
    Tau,
    current_name,
    described,
)
from softpatch.noise.neighbors import REFERENCES
from softpatch.noise.policy import AUTO, NoiseOptions, NoisePolicy
from softpatch.noise.suspicion import finite, image_suspicion
from softpatch.ranges.table import check, check_all
from softpatch.runtime.tiling import TileLayout

HELD_OUT = "held-out"
HELD_OUT_WORDS = "distance of a patch to what the other pictures have, if enough of them have it"


@dataclass(frozen=True)
class OutlierScores:
    """What a discriminator makes of some images.

    Attributes:
        names: of the readable ones, in order.
        layouts: of the tiles of each.
        grid: (h, w) patches of a tile.
        outlier: ``(M, P)`` scores W of the images or of their tiles, inside the region of
            interest.
        image_index: ``(M,)`` int64, the image each is from, ascending.
        oddest: what the most suspicious images show where they are oddest.
        name: of what made them: a discriminator's, or ``held-out``.
        words: the same, in words.
    """

    names: list[str]
    layouts: list[TileLayout]
    grid: tuple[int, int]
    outlier: Tensor
    image_index: Tensor
    oddest: OddestSpots
    name: str
    words: str


class SoftPatch(BankDetector):
    """SoftPatch: a memory bank in which defects among the training images hide nothing.

    Args:
        discriminator: ``auto`` uses none: every patch enters the bank, and vectors that only a
            few images support get floors, see ``softpatch.bank.floors``. Otherwise ``lof``
            (paper's best), ``nearest``, ``gaussian``, ``lof-distance`` (LOF times distance),
            ``position-free`` (distance to what is most similar at any position of the other
            images), or a ``Discriminator`` of your own: outliers stay out of the bank.
        k: neighbours of ``lof`` and ``lof-distance``.
        tau: share of patches, those with the largest outlier scores, kept out of the bank; or
            ``auto``: those whose score is out of the usual. None takes the discriminator's:
            ``auto`` for ``lof-distance`` and the paper's 0.15 for the others.
        denoise: False keeps every patch, and without floors (ablation).
        soft_weight: False scores by plain distances; None takes the discriminator's: False for
            ``lof-distance`` and ``position-free``, True for the paper's three.
        references: images that all but ``gaussian`` compare each image with, at most.
        coreset_ratio: size of the memory bank as a share of all training patches.
        bank_size: vectors in the bank at most, whatever their share.
        distance: patch score is W times the ``squared`` distance (as the released code) or the
            ``euclidean`` one (as the paper writes).
        max_false_alarms: choose a threshold that so large a share of good images exceeds at
            most; scores the training images, which takes as long as to predict them. 0 or None
            chooses none.
        look_share: choose a look limit, too, that so large a share of good images exceeds at most:
            they are worth a look. 0 or None chooses none.
        options: see ``CommonOptions``.

    Attributes after ``fit``, beside those of ``BankDetector``:
        floors_: how strict the floors are; None with a discriminator.
        suspicion_: ``(N,)`` float32, how suspicious each training image is: of its worst patches,
            the scores they would have had it not been trained on, or their outlier scores; for
            ``lof`` clean images are a little above 1.
        reservoir_: what ``update`` compares new images with, where there is a discriminator.
    """

    method: ClassVar[str] = "softpatch"

    def __init__(
        self,
        *,
        discriminator: str | Discriminator = AUTO,
        k: int = 6,
        tau: Tau | None = None,
        denoise: bool = True,
        soft_weight: bool | None = None,
        references: int = REFERENCES,
        coreset_ratio: float = 0.1,
        bank_size: int = BANK_SIZE,
        distance: Distance = "squared",
        max_false_alarms: float | None = FALSE_ALARMS,
        look_share: float | None = LOOK_SHARE,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(
            coreset_ratio=coreset_ratio, bank_size=bank_size, distance=distance,
            max_false_alarms=max_false_alarms, look_share=look_share, **options,
        )  # fmt: skip
        check_all(k=k, tau=tau, denoise=denoise, soft_weight=soft_weight, references=references)
        if isinstance(discriminator, str):
            discriminator = current_name(discriminator)
        else:
            if isinstance(discriminator, type) or not isinstance(discriminator, Discriminator):
                raise UsageError(
                    f"{discriminator!r} is no discriminator; give an object of a class that "
                    "inherits from softpatch.Discriminator"
                )
            check("discriminator.tau", discriminator.tau)
        self.discriminator = discriminator
        self.k = k
        self.tau = tau
        self.denoise = denoise
        self.soft_weight = soft_weight
        self.references = references
        if discriminator == AUTO and (tau is not None or soft_weight is not None):
            name = "tau" if tau is not None else "soft_weight"
            raise UsageError(
                f"{name} goes with a discriminator; name one, such as discriminator='lof'"
            )
        self._policy()  # what is wrong should not wait for fit

    # -- the algorithm -----------------------------------------------------------------------

    def _learn(self, table: PatchTable, run: Run) -> LearnedBank:
        policy = self._policy()
        if policy is None:
            return learn_supported(table, self.bank_options, self.denoise, run)
        compared = to_compare(table, policy.discriminator, self.extractor.embedding, run)
        outlier = compared.outlier_scores(policy.discriminator, run)  # (M, P)
        suspicion = image_suspicion(outlier, table.image_index)

        eligible = outlier <= policy.cutoff(outlier)
        picks = table.coreset(
            self.bank_options.coreset_size(outlier.numel()), eligible, self.seed, run
        )
        bank = MemoryBank(table.take(picks), policy.weights(outlier.flatten()[picks]))
        return LearnedBank(
            image_names=table.names,
            options=self.bank_options,
            bank=bank,
            calibration=calibrate(bank, self.bank_options, table, picks, suspicion, run),
            suspicion=suspicion,
            reservoir=PatchReservoir.of(compared, picks, self.seed),
        )

    def _policy(self) -> NoisePolicy | None:
        if self.discriminator == AUTO:
            return None
        options = NoiseOptions(
            self.discriminator, self.k, self.tau, self.denoise, self.soft_weight, self.references,
            self.seed,
        )  # fmt: skip
        return NoisePolicy.choose(options)

    def _cost(self, sample: LocalPatches, images: int) -> FitCost:
        if self.discriminator == AUTO:
            return supported_cost(sample, images, self.bank_options)
        return super()._cost(sample, images)

    # -- what it says of the training images -------------------------------------------------

    def outlier_scores(
        self,
        images: Images,
        *,
        embed: Embed = Embedder.collect,
        on_unreadable: OnUnreadable = warn_unreadable,
        progress: Progress = silent,
    ) -> OutlierScores:
        """The first half of ``fit``, for those who want W and no model.

        Args and errors are those of ``fit``.
        """
        sources = self._looked_at(images)
        self._see_values(sources)
        embedder = self.embedder  # in memory before the scratch space looks at what is left
        run = self._run(progress)
        with torch.inference_mode():
            table = embed(embedder, sources, on_unreadable, run)
            policy = self._policy()
            if policy is None:
                bank = support_bank(table, self.bank_options, run).for_an_audit()
                outlier = finite(bank.held_out_scores(table, self.bank_options, run))
            else:
                compared = to_compare(table, policy.discriminator, self.extractor.embedding, run)
                outlier = compared.outlier_scores(policy.discriminator, run)
            oddest = oddest_spots(table, outlier)
        return OutlierScores(
            names=table.names,
            layouts=table.layouts,
            grid=table.grid,
            outlier=outlier,
            image_index=table.image_index,
            oddest=oddest,
            name=HELD_OUT if policy is None else policy.name,
            words=HELD_OUT_WORDS if policy is None else policy.discriminator.words,
        )

    @property
    def policy_(self) -> NoisePolicy | None:
        """What is done about noise by a discriminator; None under ``auto``."""
        return self._policy()

    @property
    def floors_(self) -> FloorRule | None:
        """How strict the floors are that ``fit`` has chosen; None with a discriminator."""
        floors = self.learned_.floors
        return None if floors is None else floors.rule

    @property
    def suspicion_(self) -> Tensor:
        """See the class."""
        suspicion = self.learned_.suspicion
        assert suspicion is not None
        return suspicion

    @property
    def reservoir_(self) -> PatchReservoir:
        """See the class."""
        reservoir = self.learned_.reservoir
        assert reservoir is not None
        return reservoir

    def suspects(self, first: int = 0) -> list[tuple[str, float]]:
        """Training images and their suspicion, most suspicious first.

        Args:
            first: of ``image_names_`` to consider; after an update, the new ones come last.

        Raises:
            NotFittedError: before ``fit``.
            UsageError: ``first`` below 0.
        """
        check_all(first=first)
        suspicion, names = self.suspicion_[first:], self.image_names_[first:]
        order = suspicion.argsort(descending=True, stable=True).tolist()
        return [(names[at], float(suspicion[at])) for at in order]

    def contamination(self) -> ContaminationEstimate:
        """The share of bad training images, and how surely each of ``image_names_`` is one.

        By the model's own outlier scores; takes 200 fits of a law to them. ``softpatch.audit``
        chooses what to compare, and says where and why.

        Raises:
            NotFittedError: before ``fit``.
        """
        return estimate_contamination(self.suspicion_.double().cpu().numpy(), self.seed)

    def _parameters(self) -> dict[str, Any]:
        parameters = super()._parameters()
        if not isinstance(self.discriminator, str):
            parameters["discriminator"] = described(self.discriminator)
        return parameters
