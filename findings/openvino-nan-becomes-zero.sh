#!/usr/bin/env bash
# OpenVINO turns NaN into 0 at the next `Relu`, `Clip` or `Max`.
#
# One would guess that a NaN on the way through a network is still one at its end: in NumPy,
# torch and ONNX Runtime it passes through all three. In OpenVINO it is 0 after them, the
# smallest value they give.
#
# Seen with OpenVINO 2026.4.1 on the CPU (x86-64), and ONNX Runtime 1.32.0 beside it. It
# matters because nearly every network has a `Relu`, and nearly every score is clipped at 0: a
# picture that broke the arithmetic comes out as the most normal one, with a score of 0, where
# the model it was exported from says NaN.
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

FLOAT = TensorProto.FLOAT
graph = helper.make_graph(
    [
        helper.make_node("Relu", ["x"], ["Relu"]),
        helper.make_node("Clip", ["x", "low", "high"], ["Clip"]),
        helper.make_node("Max", ["x", "low"], ["Max"]),
    ],
    "scores",
    [helper.make_tensor_value_info("x", FLOAT, [8])],
    [helper.make_tensor_value_info(name, FLOAT, [8]) for name in ("Relu", "Clip", "Max")],
    [
        numpy_helper.from_array(np.array(0, np.float32), "low"),
        numpy_helper.from_array(np.array(100, np.float32), "high"),
    ],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "scores.onnx")

scores = np.arange(8, dtype=np.float32)
scores[5] = np.nan
session = onnxruntime.InferenceSession("scores.onnx", providers=["CPUExecutionProvider"])
compiled = openvino.compile_model(
    "scores.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
)
outputs = compiled(scores)
print(f"ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__}")
seen = []
for name, there in zip(("Relu", "Clip", "Max"), session.run(None, {"x": scores}), strict=True):
    here = outputs[name]
    seen.append((bool(np.isnan(there[5])), float(here[5])))
    print(f"{name}(NaN): ONNX Runtime {there[5]}, OpenVINO {here[5]}")
if seen != [(True, 0.0)] * 3:
    sys.exit("changed: NaN stayed in ONNX Runtime, and became 0 in OpenVINO")
PYTHON
