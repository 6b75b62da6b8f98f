#!/usr/bin/env bash
# int64 in OpenVINO on a CPU has 32 bits, also where nothing is computed.
#
# A graph whose inputs and outputs are int64 is read, compiled and run, and the arrays it
# returns are int64. So one would guess 64 bits within. The CPU has 32: 3,000,000,000 through
# `Identity` is -1,294,967,296. Sums are even taken in float32, so they are rounded before they
# leave 32 bits, and -2,147,483,648 from there on.
#
# Seen with OpenVINO 2026.4.1 on the CPU, and ONNX Runtime 1.32.0, which has all 64. It matters
# because sums of squares of pixels are taken in integers to be exact: a measure of brightness
# or contrast in the graph is negative for a white picture of 256 x 256.
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
        helper.make_tensor_value_info("pixels", INT64, [1, "count"]),
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

session = onnxruntime.InferenceSession("brightness.onnx", providers=["CPUExecutionProvider"])
compiled = openvino.compile_model("brightness.onnx", "CPU")
print(f"ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__}")
wrong = []
for side in (128, 256):
    feed = {"stamp": np.array([3_000_000_000]), "pixels": np.full((1, side**2), 255)}
    there, outputs = session.run(None, feed), compiled(feed)
    wanted = [3_000_000_000, side**2 * 255**2]
    for name, right, one in zip(("same", "energy"), wanted, there, strict=True):
        other = outputs[name]
        wrong.append(one[0] == right and other.dtype == np.int64 and other[0] != right)
        what = "Identity" if name == "same" else f"sum of squares, {side} x {side}"
        print(f"{what}: ONNX Runtime {one[0]}, OpenVINO {other[0]} ({other.dtype})")
if not all(wrong):
    sys.exit("changed: ONNX Runtime was right, and OpenVINO wrong in all")
PYTHON
