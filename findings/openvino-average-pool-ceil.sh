#!/usr/bin/env bash
# An average pool that rounds its size up has darker edges in OpenVINO than elsewhere.
#
# With `ceil_mode` the last window may reach beyond the padding. ONNX divides by what lies
# within the padded picture, if padding counts (`count_include_pad`), and so do torch and ONNX
# Runtime. One would guess that OpenVINO, which reads the same file, does as well. It divides by
# the whole window, so a map of ones has 0.33 where the others have 0.5.
#
# Seen with OpenVINO 2026.4.1 and ONNX Runtime 1.32.0. It matters because features are averaged
# over neighbours before they are compared: those of the last row and column shrink by a third
# in one export and not in the other, and the edge of each good part becomes a defect.
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
from onnx import TensorProto, helper

graph = helper.make_graph(
    [
        helper.make_node(
            "AveragePool", ["x"], ["y"],
            kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1,
            count_include_pad=1,
        )
    ],
    "pool",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 6, 6])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 4, 4])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "pool.onnx")

ones = np.ones((1, 1, 6, 6), np.float32)
session = onnxruntime.InferenceSession("pool.onnx", providers=["CPUExecutionProvider"])
there = session.run(None, {"x": ones})[0][0, 0]
compiled = openvino.compile_model("pool.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
here = compiled(ones)[0][0, 0]
print(f"ONNX Runtime {onnxruntime.__version__}, row 1: {there[1].round(3)}, last: {there[3].round(3)}")
print(f"OpenVINO {openvino.__version__}, row 1: {here[1].round(3)}, last: {here[3].round(3)}")
if not (
    np.allclose(there[1], [2 / 3, 1, 1, 1 / 2]) and np.allclose(here[1], [2 / 3, 1, 1, 1 / 3])
):
    sys.exit("changed: the last column was 1/2 in ONNX Runtime and 1/3 in OpenVINO")
PYTHON
