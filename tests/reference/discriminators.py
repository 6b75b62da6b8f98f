"""METHOD 2, one position and one image at a time. Float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def at_each_position(patches: Floats, score: Callable[[Floats], Floats]) -> Floats:
    """``(P, N, D)`` -> ``(P, N)``."""
    return np.stack([score(vectors) for vectors in np.asarray(patches, dtype=np.float64)])


def between(vectors: Floats) -> Floats:
    """``(N, D)`` -> ``(N, N)`` Euclidean distances."""
    return np.array([[np.sqrt(((a - b) ** 2).sum()) for b in vectors] for a in vectors])


def nearest(vectors: Floats) -> Floats:
    """1 + distance to the nearest other image."""
    distance = between(vectors)
    return np.array([1 + min(np.delete(distance[i], i)) for i in range(len(vectors))])


def gaussian(vectors: Floats) -> Floats:
    """1 + Mahalanobis distance to the mean, covariance + 0.01 I."""
    mean = vectors.mean(axis=0)
    covariance = np.cov(vectors, rowvar=False).reshape(len(mean), len(mean))
    inverse = np.linalg.inv(covariance + 0.01 * np.eye(len(mean)))
    return np.array([1 + np.sqrt((x - mean) @ inverse @ (x - mean)) for x in vectors])


def lof(vectors: Floats, k: int) -> Floats:
    """Local outlier factor, by the definitions of Breunig et al. (exactly k neighbours)."""
    n = len(vectors)
    k = min(k, n - 1)
    distance = between(vectors)
    neighbours = [sorted(set(range(n)) - {i}, key=lambda j: distance[i, j])[:k] for i in range(n)]
    k_distance = [distance[i, neighbours[i][-1]] for i in range(n)]

    def density(i: int) -> float:
        reach = [max(k_distance[j], distance[i, j]) for j in neighbours[i]]
        return float(1 / (np.mean(reach) + 1e-10))  # scikit-learn's guard against duplicates

    densities = [density(i) for i in range(n)]
    return np.array(
        [np.mean([densities[j] for j in neighbours[i]]) / densities[i] for i in range(n)]
    )


def fused(vectors: Floats, k: int) -> Floats:
    """LOF times 1 + the distance to the third nearest, or to the k-th if k is less."""
    distance = between(vectors)
    np.fill_diagonal(distance, np.inf)
    third = np.sort(distance, axis=1)[:, min(3, k, len(vectors) - 1) - 1]
    return lof(vectors, k) * (1 + third)


def anywhere(patches: Floats) -> Floats:
    """``(P, N, D)`` -> ``(P, N)``: to the second nearest other image, over the usual distance."""
    positions, images, _ = patches.shape
    distance = np.zeros((positions, images))
    for image in range(images):
        for position in range(positions):
            own = patches[position, image]
            to_images = sorted(
                min(float(np.linalg.norm(own - other)) for other in patches[:, at])
                for at in range(images)
                if at != image
            )
            distance[position, image] = to_images[: min(2, images - 1)][-1]
    return distance / np.median(distance)
