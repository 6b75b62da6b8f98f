"""SoftPatch-gaussian: how far from the position's mean, in its own covariance?"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from softpatch.compute.progress import Progress, silent
from softpatch.noise.neighbors import score_positions

RIDGE = 0.01  # added to the covariance's diagonal, as in the paper


class Gaussian:
    """W = 1 + Mahalanobis distance to the position's mean, with covariance + 0.01 I.

    Mean and covariance are those of all N images' patches at the position, defects included: a
    defect in a large share of the images widens the covariance that is to single it out.
    """

    by_position: ClassVar[bool] = True
    words: ClassVar[str] = "distance from the usual at the place, by its own covariance"
    tau: ClassVar[float | Literal["auto"]] = 0.15  # the paper's
    soft_weight: ClassVar[bool] = True

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """``(P, N, D)`` -> ``(P, N)`` float32, at least 1."""
        return score_positions(
            patches, lambda here: 1 + own_mahalanobis(here), progress, square=min(patches.shape[1:])
        )


def own_mahalanobis(centred: Tensor) -> Tensor:
    """``(p, N, D)`` centred vectors -> ``(p, N)`` distances in their own covariance.

    The covariance is D x D, but N < D vectors span at most N directions. With K the N x N matrix
    of inner products, the squared distances are the diagonal of K (K / (N-1) + 0.01 I)^-1 (the
    push-through identity), so no D x D matrix is built: for N=229, D=1024 that is 90 times less
    work than a Cholesky factor of the covariance.
    """
    images, dimension = centred.shape[1:]
    if images > dimension:
        covariance = centred.transpose(1, 2) @ centred / (images - 1)  # (p, D, D)
        covariance.diagonal(dim1=1, dim2=2).add_(RIDGE)
        factor = torch.linalg.cholesky(covariance)
        white = torch.linalg.solve_triangular(factor, centred.transpose(1, 2), upper=False)
        distances: Tensor = torch.linalg.vector_norm(white, dim=1)
        return distances
    inner = centred @ centred.transpose(1, 2)  # (p, N, D) x (p, D, N) -> (p, N, N)
    ridged = inner / (images - 1)
    ridged.diagonal(dim1=1, dim2=2).add_(RIDGE)
    squared = torch.cholesky_solve(inner, torch.linalg.cholesky(ridged))
    return squared.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
