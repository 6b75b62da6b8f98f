#!/usr/bin/env bash
# int64 in OpenVINO on a CPU has 32 bits, also where nothing is computed.
#
# A graph whose inputs and outputs are int64 is read, compiled and run, and the arrays it
# returns are int64. So one would guess 64 bits within. The CPU has 32: 3,000,000,000 through
# `Identity` is -1,294,967,296, and a sum that leaves 32 bits sticks at the end or wraps.
#
# Seen with OpenVINO 2026.4.1 on the CPU, and ONNX Runtime 1.32.0, which has all 64. It matters
# because sums of squares of pixels are taken in integers to be exact: those of one row of
# 33,100 white pixels no longer fit, so a measure of brightness or contrast in the graph is
# right on small pictures and negative on large ones.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

PIXELS = 40_000
INT64 = TensorProto.INT64
graph = helper.make_graph(
    [
        helper.make_node("Identity", ["stamp"], ["same"]),
        helper.make_node("Mul", ["pixels", "pixels"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "axes"], ["energy"], keepdims=0),
    ],
    "brightness",
    [
        helper.make_tensor_value_info("stamp", INT64, [1]),
        helper.make_tensor_value_info("pixels", INT64, [1, PIXELS]),
    ],
    [
        helper.make_tensor_value_info("same", INT64, [1]),
        helper.make_tensor_value_info("energy", INT64, [1]),
    ],
    [numpy_helper.from_array(np.array([1]), "axes")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "brightness.onnx")

feed = {"stamp": np.array([3_000_000_000]), "pixels": np.full((1, PIXELS), 255)}
session = onnxruntime.InferenceSession("brightness.onnx", providers=["CPUExecutionProvider"])
there = session.run(None, feed)
outputs = openvino.compile_model("brightness.onnx", "CPU")(feed)
here = [outputs["same"], outputs["energy"]]
for name, (one, other) in zip(("Identity", "sum of squares"), zip(there, here), strict=True):
    print(
        f"{name}: ONNX Runtime {onnxruntime.__version__} {one[0]},"
        f" OpenVINO {openvino.__version__} {other[0]} ({other.dtype})"
    )
wanted = [3_000_000_000, PIXELS * 255**2]
if [int(value[0]) for value in there] != wanted or any(
    value.dtype != np.int64 or int(value[0]) == right
    for value, right in zip(here, wanted, strict=True)
):
    sys.exit("changed: ONNX Runtime was right, and OpenVINO wrong in both outputs")
PYTHON
