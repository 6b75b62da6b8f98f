"""ONNX Runtime or OpenVINO behind one call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ModelFileError, OutOfMemoryError, is_out_of_memory
from .exported import Exported, read_exported
from .ranges import RANGES

FORMAT = 1  # of the metadata
WITH_INTENSITY = 2  # the same with an intensity, which a version that knows none would pass over
KEY = "softpatch"  # that the file keeps them under
# (B, H, W, 3) uint8 -> score (B,), map (B, h, w) and, with a threshold, label (B,)
Run = Callable[[npt.NDArray[np.uint8]], Mapping[str, npt.NDArray[Any]]]


def open_model(path: Path, threads: int | None = None) -> tuple[Run, dict[str, Any]]:
    """Load an exported file: what runs it, and its metadata.

    Raises:
        ModelFileError: missing, damaged, foreign, newer, or its runtime is not installed.
        OutOfMemoryError: not enough memory to load it.
        UsageError: no number of threads.
    """
    threads = RANGES["threads"].check("threads", threads)
    if path.suffix not in OPENERS:
        raise ModelFileError(f"{path}: an exported model is called .onnx or .xml")
    exported = read_exported(path)
    run, text = OPENERS[path.suffix](path, exported, threads)
    try:
        metadata = json.loads(text)
        version = metadata["format"]
        damaged = "checksum" in metadata and not exported.checked
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: not written by softpatch export") from error
    if version not in (FORMAT, WITH_INTENSITY):
        raise ModelFileError(
            f"{path}: format {version} is newer than this version reads ({WITH_INTENSITY}); "
            "pip install -U softpatch-runtime"
        )
    if damaged:
        raise ModelFileError(f"{path}: is damaged; export again")
    return run, metadata


def _onnx(path: Path, exported: Exported, threads: int | None) -> tuple[Run, str]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelFileError(f"{path}: needs ONNX Runtime: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(
            exported.graph, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no base class of their own
        _refuse_for_memory(path, error)
        raise ModelFileError(f"{path}: cut, or not an ONNX file") from error
    names = [output.name for output in session.get_outputs()]

    def run(images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[Any]]:
        return dict(zip(names, session.run(None, {"images": images}), strict=True))

    return run, session.get_modelmeta().custom_metadata_map.get(KEY, "")


def _openvino(path: Path, exported: Exported, threads: int | None) -> tuple[Run, str]:
    try:
        import openvino
    except ImportError as error:
        raise ModelFileError(f"{path}: needs OpenVINO: pip install openvino") from error
    # It would choose bfloat16 by itself on some processors.
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        # Not by its path: the .bin would be mapped, and the process die where that is overwritten.
        model = openvino.Core().read_model(exported.graph, exported.weights)
        compiled = openvino.Core().compile_model(model, "CPU", options)
    except RuntimeError as error:
        _refuse_for_memory(path, error)
        raise ModelFileError(f"{path}: cut, or not an OpenVINO file with its .bin") from error

    def run(images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[Any]]:
        outputs = compiled(images)
        return {output.any_name: outputs[output] for output in compiled.outputs}

    return run, model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else ""


def _refuse_for_memory(path: Path, error: Exception) -> None:
    if is_out_of_memory(error):
        raise OutOfMemoryError(f"{path}: not enough memory to load it") from error


OPENERS: Mapping[str, Callable[[Path, Exported, int | None], tuple[Run, str]]] = {
    ".onnx": _onnx,
    ".xml": _openvino,
}
