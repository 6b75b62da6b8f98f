"""Operations that all runtimes compute alike: resizing images, and 8-bit matrix products.

Runtimes disagree about an anti-aliased resize: OpenVINO 2026.4 ignores ``antialias`` of ONNX's
Resize, and ONNX Runtime 1.32 differs from torch by up to 12 grey levels (noise of 300x200, to
64x64). As two matrix products, made in the graph from the image's size, it gives torch's levels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# torch resizes 8-bit images with 16-bit integer weights, scaled by the largest power of two, 2^22
# at most, that leaves the largest weight below 2^15.
LARGEST_WEIGHT = 2**15
MOST_PLACES = 22
MIDDLE = 128  # the unsigned 8-bit number that stands for 0; kernels for signed ones are slower


def resize(images: Tensor, rows: tuple[int, int, int], columns: tuple[int, int, int]) -> Tensor:
    """Resize 8-bit images and crop them, to the rounded grey levels that torch gives.

    Args:
        images: ``(B, C, H, W)`` float32 grey levels 0..255.
        rows: the height to resize to, the first row that is kept, and the number of rows.
        columns: the same for the width.

    Returns:
        ``(B, C, h, w)`` float32 grey levels, whole numbers.
    """
    across = resize_matrix(images.shape[3], *columns)
    down = resize_matrix(images.shape[2], *rows)
    # About 0, weighted sums of levels are multiples of 2^-22 that float32 holds, which it does not
    # up to 255 (noise at 1,500 sizes: 79 were off by a level somewhere). What a row of rounded
    # weights has more or less than 1 is added back. torch, too, rounds to 8 bits after each side.
    beside, below = (MIDDLE * (matrix.sum(dim=1) - 1) + 0.5 for matrix in (across, down))
    narrow = torch.floor((images - MIDDLE) @ across.T + beside)  # (B, C, H, W) -> (B, C, H, w)
    return torch.floor(down @ narrow + below.unsqueeze(1)) + MIDDLE  # -> (B, C, h, w)


def resize_matrix(side: int, resized: int, first: int, count: int) -> Tensor:
    """``(count, side)`` float32: pixels of a side -> ``count`` pixels of the resized one.

    Each row is a triangle as wide as two pixels of the coarser side, in whole numbers until divided
    by its sum: pixel j is ``(2j + 1) resized - (2i + 1) side`` away from pixel i.
    """
    pixel = torch.arange(resized).unsqueeze(1)
    distance = ((2 * torch.arange(side) + 1) * resized - (2 * pixel + 1) * side).abs()
    triangle = (-distance + 2 * torch.sym_max(side, resized)).clamp(min=0)
    weight = triangle.double() / triangle.sum(dim=1, keepdim=True).double()
    powers = 2.0 ** torch.arange(MOST_PLACES + 1, dtype=torch.float64)
    scale = powers.where(weight.max() * powers + 0.5 < LARGEST_WEIGHT, 1.0).max()
    kept = weight[first : first + count]
    return (torch.floor(kept * scale + 0.5) / scale).float()


@torch.library.custom_op("softpatch::integer_product", mutates_args=())
def integer_product(levels: Tensor, codes: Tensor) -> Tensor:
    """``(q, D)`` float32 whole numbers -128..127 times ``(D, m)`` int8 -> ``(q, m)`` float32.

    Exact up to 2^24; exported in the form that runtimes compute with 8-bit instructions.
    """
    return levels @ codes.float()


@integer_product.register_fake
def _(levels: Tensor, codes: Tensor) -> Tensor:
    return levels.new_empty(levels.shape[0], codes.shape[1])


def translations() -> dict[Any, Callable[..., Any]]:
    """Translation of ``integer_product`` for ``torch.onnx``."""
    import onnx
    from onnxscript import opset18

    op: Any = opset18

    def to_onnx(levels: Any, codes: Any) -> Any:
        one = op.Constant(value=onnx.helper.make_tensor("one", onnx.TensorProto.FLOAT, [], [1]))
        middle = op.Constant(
            value=onnx.helper.make_tensor("middle", onnx.TensorProto.UINT8, [], [MIDDLE])
        )
        zero = op.Constant(value=onnx.helper.make_tensor("zero", onnx.TensorProto.INT8, [], [0]))
        unsigned = op.QuantizeLinear(levels, one, middle)
        return op.MatMul(
            op.DequantizeLinear(unsigned, one, middle), op.DequantizeLinear(codes, one, zero)
        )

    return {torch.ops.softpatch.integer_product.default: to_onnx}
