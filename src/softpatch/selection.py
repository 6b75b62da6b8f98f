"""Picking entries of large matrices, where torch's own kernels for the CPU are slow.

Of 196 x 18k float32 numbers on one core numpy finds each row's smallest in 0.2 ms (torch: 3 ms),
and the few that are set in 0.7 ms (torch: 3 ms).
"""

from __future__ import annotations

import torch
from torch import Tensor


def smallest_of_rows(matrix: Tensor) -> Tensor:
    """``(r, c)`` -> ``(r,)`` int64 column of each row's smallest entry, the first of equal ones."""
    if matrix.is_cuda:
        return matrix.argmin(dim=1)
    return torch.from_numpy(matrix.numpy().argmin(axis=1))


def where_set(mask: Tensor) -> tuple[Tensor, Tensor]:
    """``(r, c)`` bool -> int64 rows and columns of the entries that are set, row by row."""
    if mask.is_cuda:
        row, column = mask.nonzero(as_tuple=True)
        return row, column
    flat = torch.from_numpy(mask.numpy().ravel().nonzero()[0])
    row = flat // mask.shape[1]
    return row, flat - row * mask.shape[1]
