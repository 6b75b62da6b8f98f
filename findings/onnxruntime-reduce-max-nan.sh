#!/usr/bin/env bash
# A NaN in an anomaly map: ONNX Runtime's `ReduceMax` drops it, unless it is the first value.
#
# The score of a picture is the maximum of its map. NumPy's and torch's maximum is NaN if any
# value is, and ONNX Runtime's own `Max`, `Relu` and `Clip` keep NaN, so one would guess the same
# of `ReduceMax`. It compares one value after the other, and a comparison with NaN is false:
# what is not the first value is passed over, and the score is that of the rest.
#
# Seen with ONNX Runtime 1.32.0 on the CPU (x86-64). It matters because a check of the score
# for NaN then says nothing about the map: an overflow in one patch, which would be a loud
# failure in training, is a normal picture in production.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper

SIDE = 32
graph = helper.make_graph(
    [
        helper.make_node("Relu", ["map"], ["relu"]),
        helper.make_node("ReduceMax", ["map", "axes"], ["score"], keepdims=0),
    ],
    "score",
    [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
    [
        helper.make_tensor_value_info("relu", TensorProto.FLOAT, [1, 1, SIDE, SIDE]),
        helper.make_tensor_value_info("score", TensorProto.FLOAT, [1]),
    ],
    [numpy_helper.from_array(np.array([1, 2, 3]), "axes")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(
    model.SerializeToString(), providers=["CPUExecutionProvider"]
)

print(f"ONNX Runtime {onnxruntime.__version__}")
kept = []
for place in (0, 1, SIDE * SIDE // 2, SIDE * SIDE - 1):
    scores = np.linspace(1, 9, SIDE * SIDE, dtype=np.float32)
    scores[place] = np.nan
    relu, (score,) = session.run(None, {"map": scores.reshape(1, 1, SIDE, SIDE)})
    assert np.isnan(relu.ravel()[place])
    kept.append(bool(np.isnan(score)))
    print(f"NaN as value {place}: ReduceMax {score:.4g}, NumPy {scores.max()}; Relu keeps NaN")
if kept != [True, False, False, False]:
    sys.exit("changed: ReduceMax was NaN if the first value was, and dropped any other NaN")
PYTHON
