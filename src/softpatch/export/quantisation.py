"""The network's convolutions in 8 bits, by ONNX Runtime's tools.

Nothing else is quantised: preprocessing and patch embedding stay in float32, and the search has
exact 8-bit products of its own. The bank stays that of the float network, as making it again would
take the training pictures.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from softpatch.errors import UsageError
from softpatch.runtime.images import Levels

ACTIVATIONS = ("Clip", "Relu")  # after convolutions; their limits bound the 8-bit range


def quantise(model: Any, pictures: Iterable[Levels]) -> Any:
    """Quantise all convolutions of the network except the first, with one scale a channel.

    Activations get the range they have on the pictures. On all test pictures of bottle (edge,
    coreset ratio 0.02) image AUROC stays 1.000 and pixel AUROC 0.979; with one scale for all
    weights of a convolution they fall to 0.86 and 0.87, with 7 bits to 1.000 and 0.973. Ranges by
    percentile or entropy are no better. Leaving the first convolution in float32 reduces the
    difference in scores by a third and costs next to nothing.

    Args:
        model: an ``onnx.ModelProto`` with the input ``images``.
        pictures: at least one ``(H, W, 3)``; they may differ in size.

    Raises:
        UsageError: the network has no convolutions.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # it has no types
        def __init__(self) -> None:
            self._inputs = ({"images": picture[None]} for picture in pictures)

        def get_next(self) -> dict[str, Levels] | None:
            return next(self._inputs, None)

    chosen = _convolutions(model)
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it suggests steps that the exporter has taken
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "graph.onnx"
            quantize_static(
                model,
                file,
                Reader(),
                op_types_to_quantize=["Conv", *ACTIVATIONS],
                nodes_to_quantize=chosen,
                per_channel=True,
                activation_type=QuantType.QUInt8,  # kernels for signed ones are no faster
            )
            return onnx.load_model(file)
    finally:
        logging.disable(disabled)


def _convolutions(model: Any) -> list[str]:
    """Names of all convolutions of the network but the first, and of the activations after them."""
    nodes = model.graph.node
    convolutions = [
        node for node in nodes if node.op_type == "Conv" and node.input[1].startswith("backbone.")
    ][1:]
    if not convolutions:
        raise UsageError("int8 is for networks of convolutions; export with --precision fp16")
    made = {node.output[0] for node in convolutions}
    activations = [node for node in nodes if node.op_type in ACTIVATIONS and node.input[0] in made]
    return [node.name for node in (*convolutions, *activations)]
