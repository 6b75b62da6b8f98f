"""METHOD 4 and 5, one patch at a time. Float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

Floats = npt.NDArray[np.float64]


def nearest_in_bank(patch: Floats, bank: Floats) -> tuple[int, float]:
    """Index and Euclidean distance of the nearest bank vector."""
    distance = np.sqrt(((bank - patch) ** 2).sum(axis=1))
    index = int(distance.argmin())
    return index, float(distance[index])


def bank_scores(patches: Floats, bank: Floats, weights: Floats, *, squared: bool) -> Floats:
    """``(q, D)`` -> ``(q,)``: W of the nearest bank vector times the distance to it."""
    scores = []
    for patch in patches:
        index, distance = nearest_in_bank(patch, bank)
        scores.append(weights[index] * (distance**2 if squared else distance))
    return np.array(scores)


def anomaly_map(scores: npt.NDArray[Any], size: tuple[int, int]) -> Floats:
    """``(h, w)`` -> ``size``: bilinear, then Gaussian blur of 4 pixels."""
    grid = torch.from_numpy(np.asarray(scores, dtype=np.float64))[None, None]
    large = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)[0, 0]
    blurred: Floats = gaussian_filter(large.numpy(), sigma=4)
    return blurred


def reweighted(patches: Floats, bank: Floats, *, squared: bool, neighbours: int = 9) -> float:
    """PatchCore eq. 7: the image score of ``(P, D)`` patches."""
    distances = [nearest_in_bank(patch, bank)[1] for patch in patches]
    worst = int(np.argmax(distances))
    patch, distance = patches[worst], distances[worst]
    star, _ = nearest_in_bank(patch, bank)
    around = np.argsort(((bank - bank[star]) ** 2).sum(axis=1), kind="stable")[:neighbours]
    near = [np.exp(np.sqrt(((patch - bank[m]) ** 2).sum())) for m in around]
    score = distance**2 if squared else distance
    return float((1 - np.exp(distance) / np.sum(near)) * score)


def padim(train: Floats, test: Floats) -> Floats:
    """``(N, P, d)`` training and ``(B, P, d)`` test vectors -> ``(B, P)`` Mahalanobis distances."""
    scores = np.empty(test.shape[:2])
    for position in range(train.shape[1]):
        mean = train[:, position].mean(axis=0)
        covariance = np.atleast_2d(np.cov(train[:, position], rowvar=False))
        inverse = np.linalg.inv(covariance + 0.01 * np.eye(len(mean)))
        for image in range(len(test)):
            away = test[image, position] - mean
            scores[image, position] = np.sqrt(away @ inverse @ away)
    return scores


def ensemble_scores(patches: Floats, banks: list[Floats], *, squared: bool) -> Floats:
    """``(q, D)`` -> ``(q,)``: the median of the distances to the banks, squared or not."""
    scores = [np.median([nearest_in_bank(patch, bank)[1] for bank in banks]) for patch in patches]
    return np.array(scores) ** (2 if squared else 1)
