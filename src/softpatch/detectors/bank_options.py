"""What users choose about a memory bank, and how images are scored by one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from softpatch.bank.bank_ensemble import BankEnsemble
from softpatch.bank.memory_bank import Distance, MemoryBank

BANK_SIZE = 20_000  # at most, by default: fit and predict then cost the same an image at any size
REWEIGHTING_NEIGHBOURS = 9  # b in the PatchCore paper, eq. 7

# The image each of some patches is from, and the image each vector of the bank is from: vectors of
# a patch's own image are passed over. Vectors of an ensemble are (b, m).
Origins = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class BankOptions:
    """The options of ``PatchCore``; SoftPatch has all of them but ``reweight``.

    ``at_random`` is no option of theirs: the bank is drawn, as ``RandomBank`` does it, and so are
    its updates and merges.
    """

    coreset_ratio: float
    bank_size: int
    distance: Distance
    max_false_alarms: float | None
    seed: int
    reweight: bool = False
    at_random: bool = False
    look_share: float | None = None

    def coreset_size(self, patches: int) -> int:
        """How many of that many training patches enter the bank, at most."""
        return min(self.bank_size, max(1, int(self.coreset_ratio * patches)))

    def patch_scores(
        self, bank: MemoryBank | BankEnsemble, patches: Tensor, origins: Origins | None = None
    ) -> Tensor:
        """``(B, P, D)`` -> ``(B, P)`` scores, at least 0; larger is more anomalous."""
        scores = bank.score(patches.flatten(0, 1), self.distance, origins)
        return scores.view(patches.shape[:2])  # (B * P) -> (B, P)

    def score(self, distances: Tensor) -> Tensor:
        """Scores of patches that lie so far from vectors without weights."""
        return distances.square() if self.distance == "squared" else distances

    def distances(self, scores: Tensor) -> Tensor:
        """The distances that ``score`` has the scores from."""
        return scores.sqrt() if self.distance == "squared" else scores

    def image_scores(
        self,
        bank: MemoryBank | BankEnsemble,
        patches: Tensor,
        scores: Tensor,
        origins: Origins | None = None,
    ) -> Tensor:
        """``(B, P, D)`` patches and their ``(B, P)`` scores -> ``(B,)``.

        The worst patch decides, whatever the patches are, unless they are re-weighted.
        """
        # A lone vector has no other to compare with, by which all scores would be 0.
        if self.reweight and isinstance(bank, MemoryBank) and len(bank) > 1:
            return reweighted_scores(bank, patches, scores, origins)
        return scores.amax(dim=1)


def reweighted_scores(
    bank: MemoryBank, patches: Tensor, scores: Tensor, origins: Origins | None = None
) -> Tensor:
    """PatchCore eq. 7: lower the worst patch's score where its neighbour m* is itself far out.

    s = (1 - exp(d) / sum over the b bank vectors m nearest to m* of exp(d_m)) * worst score, with
    d the distance of the patch to m* and d_m its distance to m.

    Args:
        bank: the memory bank.
        patches: ``(B, P, D)``.
        scores: ``(B, P)`` patch scores.
        origins: ``(B,)`` and ``(m,)`` image indices, to pass over vectors of an image's own.

    Returns:
        ``(B,)`` image scores.
    """
    worst, position = scores.max(dim=1)
    patch = patches[torch.arange(len(patches), device=patches.device), position]  # (B, D)
    own, nearest = bank.nearest(patch, origins)
    neighbours = bank.neighbours(bank.vectors[nearest], REWEIGHTING_NEIGHBOURS, origins)
    difference = patch.unsqueeze(1) - bank.vectors[neighbours]  # (B, b, D), m* included
    distances = torch.linalg.vector_norm(difference, dim=2)
    share = torch.exp(own - torch.logsumexp(distances, dim=1)).clamp(max=1)
    return (1 - share) * worst
