"""What a fit with a memory bank leaves behind; scoring, updates and merges are functions of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from softpatch.bank.memory_bank import MemoryBank
from softpatch.bank.support import Support
from softpatch.detectors.bank_options import BankOptions
from softpatch.detectors.calibration import Calibration
from softpatch.detectors.reservoir import PatchReservoir
from softpatch.noise.discriminators import LARGEST_SCORE
from softpatch.storage.model_file import LARGEST_NUMBER


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
        alignment: how aligned the training images are, 0..1; None where nobody had to know.
        support: of the bank's vectors in other training images, one more of them than the floors'
            rank; None of a bank without floors.
    """

    image_names: list[str]
    options: BankOptions
    bank: MemoryBank
    calibration: Calibration
    suspicion: Tensor | None = None
    reservoir: PatchReservoir | None = None
    alignment: float | None = None
    support: Support | None = None

    def score(self, patches: Tensor) -> Tensor:
        """``(B, P, D)`` -> ``(B, P)`` patch scores, at least 0."""
        return self.options.patch_scores(self.bank, patches)

    def image_scores(self, patches: Tensor, scores: Tensor) -> Tensor:
        """``(B, P, D)`` patches and their ``(B, P)`` scores -> ``(B,)`` image scores."""
        return self.options.image_scores(self.bank, patches, scores)

    def tensors(self) -> dict[str, Tensor]:
        """What a model file holds of it."""
        tensors = {"bank": self.bank.vectors, "weights": self.bank.weights}
        tensors |= self.calibration.tensors()
        if self.suspicion is not None:
            tensors["suspicion"] = self.suspicion
        if self.reservoir is not None:
            tensors |= self.reservoir.tensors()
        if self.support is not None:
            tensors |= {
                "support_own": self.support.own,
                "support_distances": self.support.distances,
                "support_pictures": self.support.pictures,
            }
        if self.alignment is not None:
            tensors["alignment"] = torch.tensor(self.alignment, dtype=torch.float64)
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
        support = _restored_support(tensors, len(vectors), len(names))
        floors = None if support is None else support.floors(support.rank)
        bank = MemoryBank(vectors, weights, floors=floors)
        calibration = Calibration.restored(header, tensors)
        if compared is None:
            return cls(names, options, bank, calibration, support=support)
        suspicion = tensors["suspicion"]
        if suspicion.shape != (len(names),) or suspicion.dtype != torch.float32:
            raise ValueError("suspicion does not match the list of images")
        alignment = tensors.get("alignment")
        if alignment is not None and (alignment.ndim or not 0 <= alignment <= 1):
            raise ValueError("the alignment is no share")
        return cls(
            names, options, bank, calibration, suspicion,
            PatchReservoir.restored(tensors, compared, len(names), len(bank)),
            None if alignment is None else float(alignment),
        )  # fmt: skip


def _restored_support(tensors: dict[str, Tensor], vectors: int, images: int) -> Support | None:
    """What a model file, which may hold anything, has of it.

    Raises:
        KeyError, ValueError: it is none, or not of so many vectors and images.
    """
    if "support_own" not in tensors:
        return None
    support = Support(
        tensors["support_own"], tensors["support_distances"], tensors["support_pictures"]
    )
    if len(support.own) != vectors or support.distances.shape[1] < 2:
        raise ValueError("the support is not of the bank's vectors")
    finite = support.distances[support.distances.isfinite()]
    if len(finite) and float(finite.max()) > LARGEST_NUMBER:
        raise ValueError("the support holds numbers no distance has")
    for of in (support.own, support.pictures):
        if of.numel() and not -1 <= int(of.min()) <= int(of.max()) < images:
            raise ValueError("the support is of pictures that there are not")
    return support
