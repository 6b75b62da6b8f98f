"""ONNX Runtime or OpenVINO behind one call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ModelFileError

FORMAT = 1  # of the metadata
KEY = "softpatch"  # that the file keeps them under
# (B, H, W, 3) uint8 -> score (B,), map (B, h, w) and, with a threshold, label (B,)
Run = Callable[[npt.NDArray[np.uint8]], Mapping[str, npt.NDArray[Any]]]


def open_model(path: Path, threads: int | None = None) -> tuple[Run, dict[str, Any]]:
    """Load an exported file: what runs it, and its metadata.

    Raises:
        ModelFileError: missing, foreign, newer, or its runtime is not installed.
    """
    if path.suffix not in OPENERS:
        raise ModelFileError(f"{path}: an exported model is called .onnx or .xml")
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    run, text = OPENERS[path.suffix](path, threads)
    try:
        metadata = json.loads(text)
        version = metadata["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: not written by softpatch export") from error
    if version != FORMAT:
        raise ModelFileError(
            f"{path}: format {version} is not the one this version reads ({FORMAT}); "
            "pip install -U softpatch-runtime"
        )
    return run, metadata


def _onnx(path: Path, threads: int | None) -> tuple[Run, str]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelFileError(f"{path}: needs ONNX Runtime: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no base class of their own
        raise ModelFileError(f"{path}: cut, or not an ONNX file") from error
    names = [output.name for output in session.get_outputs()]

    def run(images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[Any]]:
        return dict(zip(names, session.run(None, {"images": images}), strict=True))

    return run, session.get_modelmeta().custom_metadata_map.get(KEY, "")


def _openvino(path: Path, threads: int | None) -> tuple[Run, str]:
    try:
        import openvino
    except ImportError as error:
        raise ModelFileError(f"{path}: needs OpenVINO: pip install openvino") from error
    # It would choose bfloat16 by itself on some processors.
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        model = openvino.Core().read_model(path)
        compiled = openvino.Core().compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise ModelFileError(f"{path}: cut, or not an OpenVINO file with its .bin") from error

    def run(images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[Any]]:
        outputs = compiled(images)
        return {output.any_name: outputs[output] for output in compiled.outputs}

    return run, model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else ""


OPENERS: Mapping[str, Callable[[Path, int | None], tuple[Run, str]]] = {
    ".onnx": _onnx,
    ".xml": _openvino,
}
