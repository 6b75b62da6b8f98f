"""What a fit with a memory bank leaves behind; scoring, updates and merges are functions of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from softpatch.bank.floor_rule import FloorRule
from softpatch.bank.floors import Floors
from softpatch.bank.memory_bank import MemoryBank
from softpatch.bank.support import Support
from softpatch.detectors.bank_options import BankOptions
from softpatch.detectors.calibration import Calibration
from softpatch.detectors.look_alikes import LookAlikes
from softpatch.detectors.reservoir import PatchReservoir
from softpatch.noise.discriminators import LARGEST_SCORE
from softpatch.storage.model_file import LARGEST_NUMBER

MOST_RANK = 64  # of floors, far beyond those a fit chooses from
NONE = -1.0  # in a model file, the distance to a picture that there is not


@dataclass(frozen=True)
class LearnedBank:
    """A fitted memory bank and all that is known of the images it is from.

    Attributes:
        image_names: of the training images, in order.
        options: those of the fit.
        bank: the memory bank.
        calibration: normal limit and threshold.
        suspicion: ``(N,)`` float32, how suspicious each training image is; None where the method
            does not tell.
        reservoir: what an update compares new images with; None where it compares nothing.
        floors: of the bank's vectors, and where they are from; None of a bank without.
        look_alikes: with which image scores are compared; None where they are not.
    """

    image_names: list[str]
    options: BankOptions
    bank: MemoryBank
    calibration: Calibration
    suspicion: Tensor | None = None
    reservoir: PatchReservoir | None = None
    floors: Floors | None = None
    look_alikes: LookAlikes | None = None

    def score(self, patches: Tensor) -> Tensor:
        """``(B, P, D)`` -> ``(B, P)`` patch scores, at least 0."""
        return self.options.patch_scores(self.bank, patches)

    def image_scores(self, patches: Tensor, scores: Tensor) -> Tensor:
        """``(B, P, D)`` patches and their ``(B, P)`` scores -> ``(B,)`` image scores."""
        found = self.options.image_scores(self.bank, patches, scores)
        if self.look_alikes is None:
            return found
        return found / self.look_alikes.allowance(patches.mean(dim=1))

    def tensors(self) -> dict[str, Tensor]:
        """What a model file holds of it."""
        tensors = {"bank": self.bank.vectors, "weights": self.bank.weights}
        tensors |= self.calibration.tensors()
        if self.suspicion is not None:
            tensors["suspicion"] = self.suspicion
        if self.reservoir is not None:
            tensors |= self.reservoir.tensors()
        if self.floors is not None:
            support, rule = self.floors.support, self.floors.rule
            tensors |= {
                "support_own": support.own,
                "support_places": support.places,
                # A model file holds finite numbers alone.
                "support_distances": support.distances.where(support.distances.isfinite(), NONE),
                "support_pictures": support.pictures,
                "floors": torch.tensor(
                    [rule.rank, rule.near, rule.spread, self.floors.spacing], dtype=torch.float64
                ),
            }
        if self.look_alikes is not None:
            tensors |= self.look_alikes.tensors()
        return tensors

    @classmethod
    def restored(
        cls,
        header: dict[str, Any],
        tensors: dict[str, Tensor],
        options: BankOptions,
        dimension: int,
        compared: int | None,
    ) -> Self:
        """What a model file, which may hold anything, has of a bank.

        Raises:
            KeyError, TypeError, ValueError: it is none, or not of a detector with these options, D
                numbers a patch, and ``compared`` numbers for its discriminator; None has none.
        """
        vectors, weights = tensors["bank"], tensors["weights"]
        if vectors.ndim != 2 or weights.shape != vectors.shape[:1] or len(vectors) == 0:
            raise ValueError("bank and weights do not belong together")
        if {vectors.dtype, weights.dtype} != {torch.float32} or weights.min() < 0:
            raise ValueError("bank or weights are not what a bank holds")
        if vectors.abs().max() > LARGEST_NUMBER or weights.max() > LARGEST_SCORE:
            raise ValueError("bank or weights hold numbers no patch has")
        if vectors.shape[1] != dimension:
            raise ValueError("the bank's vectors are not this backbone's patches")
        names = [str(name) for name in header["images"]]
        floors = _restored_floors(tensors, len(vectors), len(names))
        bank = MemoryBank(vectors, weights, floors=None if floors is None else floors.every())
        calibration = Calibration.restored(header, tensors)
        suspicion = reservoir = None
        if floors is not None or compared is not None:
            suspicion = tensors["suspicion"]
            if suspicion.shape != (len(names),) or suspicion.dtype != torch.float32:
                raise ValueError("suspicion does not match the list of images")
        if compared is not None:
            reservoir = PatchReservoir.restored(tensors, compared, len(names), len(bank))
        alike = LookAlikes.restored(tensors, dimension, len(names))
        return cls(names, options, bank, calibration, suspicion, reservoir, floors, alike)


def _restored_floors(tensors: dict[str, Tensor], vectors: int, images: int) -> Floors | None:
    """What a model file, which may hold anything, has of it.

    Raises:
        KeyError, ValueError: it is none, or not of so many vectors and images.
    """
    if "floors" not in tensors:
        return None
    rule = tensors["floors"]
    if rule.shape != (4,) or rule.dtype != torch.float64:
        raise ValueError("the rule of the floors is none")
    rank, near, spread, spacing = rule.tolist()
    own, places, distances, of = (
        tensors[f"support_{name}"] for name in ("own", "places", "distances", "pictures")
    )
    support = Support(own, places, distances.where(distances != NONE, torch.inf), of)
    if len(support) != vectors:
        raise ValueError("the support is not of the bank's vectors")
    if (
        rank not in range(MOST_RANK + 1)
        or near not in (0, 1)
        or not 0 <= spread <= 1
        or not 0 <= spacing <= LARGEST_NUMBER
    ):
        raise ValueError("the floors hold numbers they cannot have")
    finite = support.distances[support.distances.isfinite()]
    if len(finite) and float(finite.max()) > LARGEST_NUMBER:
        raise ValueError("the support holds numbers no distance has")
    for of in (support.own, support.pictures):
        if of.numel() and not -1 <= int(of.min()) <= int(of.max()) < images:
            raise ValueError("the support is of pictures that there are not")
    return Floors(support, FloorRule(int(rank), bool(near), spread), spacing)
