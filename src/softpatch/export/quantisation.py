"""The network's convolutions in 8 bits, by ONNX Runtime's tools.

Only they: what the network is fed, the patch embedding and the search keep their float32, and the
search has 8-bit products of its own that are exact. The bank stays that of the float network, as it
can be made again from no less than the training pictures.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from softpatch.errors import UsageError
from softpatch.runtime.images import Levels

ACTIVATIONS = ("Clip", "Relu")  # whose ends an 8-bit range can be


def quantise(model: Any, pictures: Iterable[Levels]) -> Any:
    """Quantise the network's convolutions but the first, each channel's weights by themselves.

    Activations get the range they have on the pictures. On all test pictures of bottle (edge,
    coreset ratio 0.02) image AUROC stays 1.000 and pixel AUROC 0.979; with one scale for all
    weights of a convolution they fall to 0.86 and 0.87, with 7 bits to 1.000 and 0.973. Ranges by
    percentile or entropy are no better; the first convolution in float32 is, by a third of the
    difference in scores, and costs nothing to speak of.

    Args:
        model: an ``onnx.ModelProto`` with the input ``images``.
        pictures: at least one ``(H, W, 3)``; they may differ in size.

    Raises:
        UsageError: a network without convolutions.
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
    logging.disable(logging.WARNING)  # of steps that it could take first; the exporter took them
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
                activation_type=QuantType.QUInt8,  # its kernels for the signed ones are no faster
            )
            return onnx.load_model(file)
    finally:
        logging.disable(disabled)


def _convolutions(model: Any) -> list[str]:
    """Names of the network's convolutions but the first, and of the activations after them."""
    nodes = model.graph.node
    convolutions = [
        node for node in nodes if node.op_type == "Conv" and node.input[1].startswith("backbone.")
    ][1:]
    if not convolutions:
        raise UsageError("int8 is for networks of convolutions; export with --precision fp16")
    made = {node.output[0] for node in convolutions}
    activations = [node for node in nodes if node.op_type in ACTIVATIONS and node.input[0] in made]
    return [node.name for node in (*convolutions, *activations)]
