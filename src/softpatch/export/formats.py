"""The files an exported graph is written to; ``softpatch.runtime.engine`` reads them."""

from __future__ import annotations

import errno
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from softpatch.errors import MissingExtraError, is_out_of_memory
from softpatch.export.graph import DetectorGraph
from softpatch.export.onnx_ops import translations
from softpatch.export.quantisation import quantise
from softpatch.runtime.exported import ENTRY, UNSEALED, seal
from softpatch.runtime.images import Levels

HALVED = 4096  # numbers in a tensor from which storing it in 16 bits pays


def _onnx(model: Any, path: Path, key: str, metadata: str) -> None:
    import onnx

    for name, value in ((key, metadata), (ENTRY, UNSEALED)):
        entry = model.metadata_props.add()
        entry.key, entry.value = name, value
    onnx.save_model(model, path)
    seal(path)


def _openvino(model: Any, path: Path, key: str, metadata: str) -> None:
    """Write OpenVINO's IR: an ``.xml`` with the graph, a ``.bin`` with the weights."""
    import onnx
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "graph.onnx"
        onnx.save_model(model, source)
        converted = openvino.Core().read_model(source)
        converted.set_rt_info(metadata, key)
        converted.set_rt_info(UNSEALED, ENTRY)
        try:
            # OpenVINO's own compression would also round constants that are no weights.
            openvino.save_model(converted, path, compress_to_fp16=False)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            # Its streams fail without a reason.
            raise OSError(errno.EIO, "is the disk full?", str(path)) from error
    seal(path)


# What writes a model from ``onnx_model``, with one entry of metadata: its key and its value. Raises
# OSError where that is not possible.
FORMATS: Mapping[str, Callable[[Any, Path, str, str], None]] = MappingProxyType(
    {".onnx": _onnx, ".xml": _openvino}
)


def need_packages(suffix: str) -> None:
    """Raise MissingExtraError where a package that a format needs is not installed."""
    needed = ["onnx", "onnxscript", "onnxruntime"] + ["openvino"] * (suffix == ".xml")
    if not all(map(find_spec, needed)):
        raise MissingExtraError("export", "export")


def onnx_model(graph: DetectorGraph, calibration: Iterable[Levels]) -> Any:
    """The graph as an ``onnx.ModelProto`` with its weights, the source of both formats.

    Raises:
        UsageError: ``int8`` for a network without convolutions.
        ImageError: a picture for calibration cannot be read.
    """
    example = torch.zeros(2, 300, 200, 3, dtype=torch.uint8)  # all sides different, none 1
    sides = {"images": {0: "batch", 1: "height", 2: "width"}}
    model = to_onnx(graph, example, graph.outputs, sides)
    if graph.precision == "fp16":
        _store_halves(model)
    if graph.precision == "int8":
        return quantise(model, calibration)
    return model


def to_onnx(
    module: nn.Module, example: Tensor, outputs: list[str], sides: dict[str, dict[int, str]]
) -> Any:
    """A module with one input as an ``onnx.ModelProto``; ``sides`` are its dynamic dimensions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about the exporter's own deprecations
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                input_names=list(sides),
                output_names=outputs,
                dynamic_shapes=sides,
                custom_translation_table=translations(),
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None  # as no file was asked for
    return program.model_proto


def _store_halves(model: Any) -> None:
    """Store large weights in 16 bits and cast them to float32 in the graph.

    These are the weights that ``DetectorGraph`` has already rounded, and the convolution kernels,
    into which the exporter has folded the normalisation after them.
    """
    from onnx import TensorProto, helper, numpy_helper

    widened = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < HALVED:
            continue
        halves = values.astype(np.float16)
        if values.ndim != 4 and not np.array_equal(halves.astype(np.float32), values):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
        widened.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = [*widened, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
