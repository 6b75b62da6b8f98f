"""How strict the floors of a bank may be: told by images that the bank has not seen.

Where a good patch has its like in every other image, floors may ask for eight; where parts lie at
any angle, not for two. Strict floors keep out defects that recur, but must not raise what good
images score.
"""

from __future__ import annotations

import torch
from torch import Tensor

from softpatch.bank.floor_rule import FloorRule
from softpatch.bank.floors import Floors
from softpatch.bank.memory_bank import MemoryBank
from softpatch.detectors.patch_table import PatchTable

NO_FLOORS = FloorRule(0, False, 0.0)
# Floors are free where two of three unseen images score at most 1.5 % above what they do without.
# Where none are, the weakest are taken up to 2.5 %: else defects that recur are lost. Chosen over
# 25 training sets, see experiments/README.md. Images held out of a bank do not tell: they leave a
# hole, whose edges score more than an unseen image (60 screws: a median of 45.6 for 41.1), so
# floors seem free that cost 0.08.
FREE = 1.015
BEARABLE = 1.025
IMAGES = 0.65  # the others may be bad: these score more with floors, and should


def choose(scores: Tensor, candidates: list[Floors]) -> tuple[FloorRule, int]:
    """The strictest floors that are free, see ``FREE``; or the weakest, or none.

    Returns:
        the rule, and which column of the scores is by it.

    Args:
        scores: ``(w, 1 + n)`` of images that the bank has not seen, see ``worst_scores``.
        candidates: the n floors.
    """
    plain = scores[:, :1].clamp(min=torch.finfo(scores.dtype).tiny)
    strict = torch.tensor([float(floors.every().mean()) for floors in candidates])
    chosen = strictest(scores[:, 1:] / plain, strict, IMAGES, FREE, BEARABLE)
    return (NO_FLOORS, 0) if chosen is None else (candidates[chosen].rule, 1 + chosen)


def strictest(
    rises: Tensor, strict: Tensor, share: float, free: float, bearable: float
) -> int | None:
    """Which of n floors ``choose`` takes; None for none.

    Args:
        rises: ``(w, n)`` scores of unseen images, as a multiple of those without floors.
        strict: ``(n,)`` mean floors.
        share: quantile of the images whose rise counts, 0..1.
        free: rise up to which the strictest are taken.
        bearable: rise up to which the weakest are, where none are free.
    """
    usual = torch.quantile(rises, share, dim=0)
    if bool((usual <= free).any()):
        return int(strict.where(usual <= free, -1.0).argmax())
    weakest = int(strict.argmin())
    return weakest if usual[weakest] <= bearable else None


def worst_scores(
    vectors: Tensor, candidates: list[Floors], table: PatchTable, rows: Tensor
) -> Tensor:
    """``(w, 1 + n)`` distances: what w images score by a bank without floors, and with each of n.

    Args:
        vectors: ``(m, D)`` of the bank, of which the images have none.
        candidates: floors that it may have.
        table: patches of these images and others.
        rows: of these, of the table; all of an image's.
    """
    plain = MemoryBank(vectors, vectors.new_ones(len(vectors)))
    every = [floors.every() for floors in candidates]
    index = table.image_index.cpu()
    found = []
    for image in torch.unique_consecutive(index[rows]).tolist():
        here, at = table.at_hand((index == image).nonzero().flatten())
        patches = here.patches[at.to(here.patches.device)].flatten(0, 1)
        distance, nearest = plain.nearest(patches)
        scores = [distance.max()]
        for floors in every:
            # No patch is farther than by the vector that is nearest without floors; but any of
            # them may be the worst with floors.
            at_most = torch.maximum(distance, floors[nearest])
            scores.append(plain.with_floors(floors).farthest(patches, 1, at_most)[0])
        found.append(torch.stack(scores).cpu())
    return torch.stack(found)
