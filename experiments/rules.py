"""Outlier scores W of training patches, and cuts: which of them stay out of the bank."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from experiments.pool import Pool, nearest_anywhere, nearest_at_place
from softpatch.noise.policy import noise_threshold

K = 6
WINDOW = 2  # patches


class Evidence:
    """Distances between all pictures of a pool; a training set's are a part of them."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._known: dict[str, Tensor] = {}

    def outlier_scores(self, training: Tensor, rule: str) -> Tensor:
        """``(N, P)`` of the ``(N,)`` pictures, ascending; ``(n,)`` where grids differ."""
        if rule.endswith("picture"):
            return times_picture(self.outlier_scores(training, rule.removesuffix("picture")))
        if rule.startswith("any"):
            return self._anywhere(training, rule.removeprefix("any"))
        distance = self._at_place(training, WINDOW if "win" in rule else 0)
        if rule == "lof":
            return lof(distance, K)
        far = 1 + kth(distance, _count(rule, len(training))).T
        if rule.startswith("fused"):
            factor = lof(self._at_place(training, 0), K)
            return factor * (far.sqrt() if "root" in rule else far)
        return far

    def _at_place(self, training: Tensor, window: int) -> Tensor:
        distance = self._distances(f"place {window}")[:, training][:, :, training]
        own = torch.eye(len(training), dtype=torch.bool, device=distance.device)
        return distance.masked_fill(own, math.inf)

    def _anywhere(self, training: Tensor, kind: str) -> Tensor:
        rows = self.pool.of(training)
        distance = self._distances("anywhere")[rows][:, training]
        own = torch.searchsorted(training, self.pool.image_index[rows])
        distance[torch.arange(len(distance), device=own.device), own] = math.inf
        near = kth(distance, _count(kind, len(training)))
        if not self.pool.same_grid:
            return near
        near = near.view(len(training), -1)
        return near / near.median(dim=1, keepdim=True).values if "own" in kind else near

    def _distances(self, which: str) -> Tensor:
        if which not in self._known:
            if which == "anywhere":
                self._known[which] = nearest_anywhere(self.pool)
            else:
                self._known[which] = nearest_at_place(self.pool, int(which.split()[1]))
        return self._known[which]


def _count(rule: str, pictures: int) -> int:
    """Which neighbour's distance counts: ``win10%`` the one a tenth of all pictures are nearer."""
    digits = "".join(letter for letter in rule if letter.isdigit())
    if rule.endswith("%"):
        return max(2, round(int(digits) / 100 * pictures))
    return int(digits) if digits else 3


def kth(distances: Tensor, k: int) -> Tensor:
    """The k-th smallest of the last axis."""
    return distances.topk(k, dim=-1, largest=False).values[..., -1]


def lof(distances: Tensor, k: int) -> Tensor:
    """``(P, N, N)``, infinite on the diagonal -> ``(N, P)`` local outlier factors."""
    near = distances.topk(k, dim=2, largest=False)
    flat = near.indices.flatten(1)
    reach = torch.maximum(near.values, near.values[..., -1].gather(1, flat).view_as(near.values))
    density = 1 / reach.mean(dim=2).clamp_min(1e-10)
    return (density.gather(1, flat).view_as(near.values).mean(dim=2) / density).T.contiguous()


def times_picture(outlier: Tensor) -> Tensor:
    """``(N, P)`` by the geometric mean of the worst twentieth of the same picture's."""
    log = outlier.log()
    return (log + suspicion(log, share=0.05)[:, None]).exp()


def suspicion(outlier: Tensor, share: float = 0.01) -> Tensor:
    """``(N, P)`` -> ``(N,)``: mean of the worst share."""
    return outlier.topk(max(1, round(share * outlier.shape[1])), dim=1).values.mean(dim=1)


def kept(outlier: Tensor, cut: str) -> Tensor:
    """Which patches may enter the bank: a share such as ``0.15`` stays out, or what ``auto`` says.

    ``pictures`` first leaves out whole pictures whose suspicion is far from the median. ``0.1 of
    pictures`` leaves out the most suspicious tenth and nothing else; ``0.1 at random`` any tenth,
    which shows what that number of pictures is worth.
    """
    if cut.endswith(("of pictures", "at random")):
        share = float(cut.split()[0])
        odd = suspicion(outlier)
        if cut.endswith("at random"):
            odd = torch.rand(len(odd), generator=torch.Generator().manual_seed(0)).to(odd)
        stay = odd.argsort()[: round((1 - share) * len(odd))]
        good = torch.zeros(len(odd), dtype=torch.bool, device=odd.device)
        good[stay] = True
        return good[:, None].expand_as(outlier)
    if not cut.startswith("pictures"):
        return outlier <= threshold(outlier, cut)
    log = suspicion(outlier).log()
    spread = 1.4826 * (log - log.median()).abs().median()
    good = log <= log.median() + 3 * spread
    return good[:, None] & (outlier <= threshold(outlier[good], "auto"))


def threshold(outlier: Tensor, cut: str) -> float:
    """Of W, above which patches stay out."""
    return noise_threshold(outlier.flatten().cpu().numpy(), "auto" if cut == "auto" else float(cut))
