"""The product of whole numbers, as runtimes know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MIDDLE = 128  # the unsigned 8-bit number that stands for 0; kernels for signed ones are slower


@torch.library.custom_op("softpatch::integer_product", mutates_args=())
def integer_product(levels: Tensor, codes: Tensor) -> Tensor:
    """``(q, D)`` float32 whole numbers -128..127 times ``(D, m)`` int8 -> ``(q, m)`` float32.

    Exact up to 2^24, and exported in the form that runtimes compute with 8-bit instructions.
    """
    return levels @ codes.float()


@integer_product.register_fake
def _(levels: Tensor, codes: Tensor) -> Tensor:
    return levels.new_empty(levels.shape[0], codes.shape[1])


def translations() -> dict[Any, Callable[..., Any]]:
    """How ``torch.onnx`` writes it."""
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
