"""Exact distances, cheaply: a short vector per patch rules out nearly all pairs.

The sketch of a patch is its leading principal coordinates and the norm of the residual they leave
out. Orthonormal coordinates never lengthen a difference, and two residuals differ by at least the
difference of their norms, so the distance of two sketches is a lower bound on the distance of the
patches. On bottle features (18k bank vectors, D=1024) a sketch of 256 numbers leaves 3 candidates
for a patch's nearest neighbour; only their true distances are computed.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from softpatch.compute.scratch import chunks

COORDINATES = 128  # of a sketch, at least
SAMPLE = 20_000  # patches the principal directions are estimated from
ROUNDING = 1e-5  # of the largest squared norm: allowance for rounding in float32
SUMMED = 1e-4  # more than the relative error of summing 1,024 squares in float32
PAIRS = 128  # a chunk that stays in the cache: 1.5 us a pair at D=1024, 2.7 us with 512


class Sketch:
    """The map from ``(n, D)`` patches to ``(n, q + 1)`` sketches, fitted to typical patches."""

    def __init__(self, patches: Tensor, left_out: float, most: int | None = None) -> None:
        """Find the leading coordinates of ``(n, D)`` patches.

        Args:
            patches: those to be sketched, or similar ones.
            left_out: share of their variance that the coordinates, at least ``COORDINATES``, may
                leave out. If more than half of D are needed, rotating the patches takes longer than
                it saves (800k patches, 3,000 picks: 15 s to save 6 of 33); a sketch then is the
                patch less the mean, and a 0.
            most: coordinates, whatever they leave out.
        """
        self.centre, variances, axes = principal_axes(patches)
        within = variances.clamp(min=0).cumsum(dim=0)
        needed = int((within > left_out * within[-1]).sum())
        needed = needed if most is None else min(needed, most)
        coordinates = max(COORDINATES, needed)
        shorter = coordinates < len(axes) and 2 * needed <= len(axes)
        self.axes = axes[:, -coordinates:].contiguous() if shorter else None

    @property
    def length(self) -> int:
        """Numbers in a sketch, q + 1."""
        return (len(self.centre) if self.axes is None else self.axes.shape[1]) + 1

    def __call__(self, patches: Tensor, members: Tensor | None = None) -> Tensor:
        """Sketch ``(n, D)`` patches, or those with the indices ``members``."""
        count = len(patches) if members is None else len(members)
        sketch = torch.empty(count, self.length, device=patches.device)
        for chunk in chunks(count, bytes_per_item=patches.shape[1] * 64):
            centred = patches[chunk if members is None else members[chunk]] - self.centre
            if self.axes is None:
                sketch[chunk, :-1], sketch[chunk, -1] = centred, 0
                continue
            leading = centred @ self.axes
            residual = centred.square().sum(dim=1) - leading.square().sum(dim=1)
            sketch[chunk, :-1] = leading
            sketch[chunk, -1] = residual.clamp(min=0).sqrt()
        return sketch


def principal_axes(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``(D,)`` mean, ``(D,)`` variances and ``(D, D)`` axes of ``(n, D)`` patches, from a sample.

    The least variance comes first; variances are sums over the ``SAMPLE`` patches.
    """
    sample = _subsample(patches)
    centre = sample.mean(dim=0)
    centred = sample - centre
    covariance = centred.T @ centred
    try:
        variances, axes = torch.linalg.eigh(covariance)
    except RuntimeError:  # of a few patches, or equal ones, in float32
        variances, axes = (part.float() for part in torch.linalg.eigh(covariance.double()))
    return centre, variances, axes


def _subsample(patches: Tensor) -> Tensor:
    """``SAMPLE`` random patches.

    A fixed stride may hit few positions of an image: with 5,000 images of 784 patches it hit four,
    and the axes of these leave out much of the variance at the others.
    """
    if len(patches) <= SAMPLE:
        return patches
    rows = torch.randint(len(patches), (SAMPLE,), generator=torch.Generator().manual_seed(0))
    return patches[rows.sort().values.to(patches.device)]


def pair_distances(a: Tensor, row: Tensor, b: Tensor, column: Tensor) -> Tensor:
    """Distance of ``a[row[i]]`` to ``b[column[i]]`` for every i, in float64.

    Both are ``(n, D)`` float32. Computed from the difference, pair by pair, so that a distance
    never depends on the other pairs of the call.
    """
    if a.is_cuda:
        parts = [
            torch.linalg.vector_norm(a[row[part]].double() - b[column[part]], dim=1)
            for part in chunks(len(row), bytes_per_item=a.shape[1] * 16)
        ]
        return torch.cat(parts) if parts else row.double()
    squares = _squared_distances(a, row, b, column, np.float64)
    return torch.from_numpy(np.sqrt(squares, out=squares))


def pair_bounds(patches: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Upper bounds on the distance of ``patches[row[i]]`` to ``patches[column[i]]``, in float64.

    Computed in float32, in half the time of the distance, and within twice ``SUMMED`` of it.
    """
    if patches.is_cuda:
        return pair_distances(patches, row, patches, column)
    squares = _squared_distances(patches, row, patches, column, np.float32)
    return torch.from_numpy(np.sqrt(squares, out=squares) * (1 + SUMMED))


def _squared_distances(
    a: Tensor, row: Tensor, b: Tensor, column: Tensor, precision: type[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """Squared distances of the pairs of ``pair_distances``, computed in ``precision``."""
    # numpy, because these small operations are fastest on one thread: torch starts its threads
    # for each, and when another process holds a core they wait 80 us a pair for each other.
    x, y, i, j = a.numpy(), b.numpy(), row.numpy(), column.numpy()
    squares = np.empty(len(row))
    left, right, wide = _buffers(a.shape[1])
    difference = wide if precision is np.float64 else left
    for start in range(0, len(row), PAIRS):
        part = slice(start, start + PAIRS)
        count = len(squares[part])
        np.take(x, i[part], axis=0, out=left[:count], mode="clip")
        np.take(y, j[part], axis=0, out=right[:count], mode="clip")
        np.subtract(left[:count], right[:count], out=difference[:count], dtype=precision)
        squares[part] = np.einsum("pd,pd->p", difference[:count], difference[:count])
    return squares


def _buffers(dimension: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Kept by each thread: with new ones a call, page faults cost six times the arithmetic."""
    if getattr(_own, "shape", None) != (PAIRS, dimension):
        _own.shape = (PAIRS, dimension)
        _own.arrays = (
            np.empty((PAIRS, dimension), np.float32),
            np.empty((PAIRS, dimension), np.float32),
            np.empty((PAIRS, dimension), np.float64),
        )
    arrays: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] = _own.arrays
    return arrays


_own = threading.local()
