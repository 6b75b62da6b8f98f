"""Seeded random projections, which shorten the patches of coarse features and of the reservoir."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from softpatch.errors import UsageError

Projection = Literal["orthonormal", "gaussian"]


def projection_matrix(kind: Projection, dimension: int, target: int, seed: int) -> Tensor:
    """``(dimension, target)`` float32.

    ``orthonormal`` keeps lengths within the chosen subspace; ``gaussian`` keeps squared distances
    in expectation (Johnson-Lindenstrauss).
    """
    if kind not in get_args(Projection):
        raise UsageError(f"projection {kind!r} is none of {', '.join(get_args(Projection))}")
    if not 1 <= target <= dimension:
        raise UsageError(f"cannot project {dimension} numbers to {target}")
    generator = torch.Generator().manual_seed(seed)
    matrix: Tensor = torch.randn(dimension, target, generator=generator, dtype=torch.float64)
    matrix = torch.linalg.qr(matrix).Q if kind == "orthonormal" else matrix / target**0.5
    return matrix.to(torch.float32)
