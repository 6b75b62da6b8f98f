"""Coreset, scores and metrics in plain torch, on whatever device the patches are on.

Written for speed on a GPU, where the distances of one cell take a second; the library's own steps
are exact and tested, these are for comparing ideas.
"""

from __future__ import annotations

import torch
from torch import Tensor

from experiments.pool import ROWS, Pool
from softpatch.bank.coreset import greedy_coreset
from softpatch.features.projection import projection_matrix
from softpatch.predictions.anomaly_map import anomaly_map


@torch.inference_mode()
def coreset(vectors: Tensor, size: int, seed: int) -> Tensor:
    """Greedy k-center: on a CPU the library's, elsewhere on a projection to 128 numbers."""
    if vectors.device.type == "cpu":
        return greedy_coreset(vectors, size, seed=seed)
    if vectors.shape[1] > 128:
        vectors = vectors @ projection_matrix("gaussian", vectors.shape[1], 128, seed).to(vectors)
    vectors = vectors - vectors.mean(dim=0)
    squares = vectors.square().sum(dim=1)
    start = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[:10]
    nearest = torch.cdist(vectors, vectors[start.to(vectors.device)]).square().mean(dim=1)
    picks = torch.empty(size, dtype=torch.long, device=vectors.device)
    for at in range(size):
        pick = nearest.argmax()
        picks[at] = pick
        distance = torch.addmv(squares, vectors, vectors[pick], alpha=-2) + squares[pick]
        nearest = torch.minimum(nearest, distance) if at else distance
        nearest[pick] = -1
    return picks


@torch.inference_mode()
def patch_scores(patches: Tensor, bank: Tensor, weights: Tensor) -> Tensor:
    """``(n, D)`` -> ``(n,)``: weight of the nearest vector times its squared distance."""
    centre = bank.mean(dim=0)
    bank = bank - centre
    squares = bank.square().sum(dim=1)
    found = patches.new_empty(len(patches))
    for at in range(0, len(patches), ROWS):
        part = patches[at : at + ROWS] - centre
        best, index = torch.addmm(squares, part, bank.T, alpha=-2).min(dim=1)
        best = (best + part.square().sum(dim=1)).clamp_(min=0)
        found[at : at + ROWS] = best * weights[index]
    return found


def auroc(labels: Tensor, values: Tensor) -> float:
    """Area under the ROC curve; ties are broken by order, which of float scores are few."""
    ranks = torch.empty(len(values), dtype=torch.float64, device=values.device)
    order = torch.arange(1, len(values) + 1, dtype=torch.float64, device=values.device)
    ranks[values.argsort()] = order
    positives = int(labels.sum())
    pairs = positives * (len(labels) - positives)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / pairs)


def average_precision(labels: Tensor, values: Tensor) -> float:
    """Mean precision over the positives."""
    hits = labels[values.argsort(descending=True)].double()
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1, device=hits.device)
    return float((precision * hits).sum() / hits.sum())


@torch.inference_mode()
def metrics(pool: Pool, test: Tensor, found: Tensor) -> dict[str, float]:
    """Image AUROC by several image scores, pixel AUROC and pixel AP of ``(n,)`` patch scores."""
    counts = torch.bincount(pool.image_index, minlength=len(pool.names))[test].tolist()
    parts = torch.split(found, counts)
    labels = pool.defective[test]
    image_scores = {
        "max": [part.amax() for part in parts],
        "mean of 5": [part.topk(5).values.mean() for part in parts],
        "mean of 2%": [part.topk(max(1, len(part) // 50)).values.mean() for part in parts],
        "by own median": [part.topk(3).values.mean() / part.median() for part in parts],
    }
    result = {name: auroc(labels, torch.stack(each)) for name, each in image_scores.items()}
    heat = [
        anomaly_map(part.view(1, *pool.grids[index]), tuple(pool.masks[index].shape))[0].flatten()
        for part, index in zip(parts, test.tolist(), strict=True)
    ]
    masks = torch.cat([pool.masks[index].flatten() for index in test.tolist()])
    result["pixel"] = auroc(masks, torch.cat(heat))
    result["ap"] = average_precision(masks, torch.cat(heat))
    return result
