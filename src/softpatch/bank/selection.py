"""Picking entries of large matrices, where torch's own kernels for the CPU are slow.

Of 196 x 18k float32 numbers on one core numpy finds each row's smallest in 0.2 ms (torch: 3 ms),
and the few that are set in 0.7 ms (torch: 3 ms).
"""

from __future__ import annotations

import torch
from torch import Tensor


def ordered(numbers: Tensor) -> Tensor:
    """Floating-point numbers as integers in the same order, but for negative ones.

    These stay below all that are not negative, in no order. Of 8192 x 340 bfloat16 numbers each
    row's smallest is found in 0.4 ms so (2.1 ms), and compared with the row's limit in 0.6 (3.4).
    """
    return numbers.view(torch.int16 if numbers.dtype == torch.bfloat16 else torch.int32)


def not_above(matrix: Tensor, limits: Tensor) -> Tensor:
    """``(r, c)`` bool: entries that are no more than their row's ``(r,)`` limit, not negative."""
    matrix, limits = ordered(matrix), ordered(limits).unsqueeze(1)
    if matrix.is_cuda:
        return matrix <= limits
    return torch.from_numpy(matrix.numpy() <= limits.numpy())


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


def split_largest(items: Tensor, values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` of ``(n,)`` items that have the largest ``(n,)`` values, and the others."""
    if len(items) <= count:
        return items, items[:0]
    if items.is_cuda:
        order = values.argsort(descending=True)
    else:
        order = torch.from_numpy((-values.numpy()).argpartition(count))
    return items[order[:count]], items[order[count:]]
