#!/usr/bin/env bash
# OpenVINO reads an antialiased `Resize` and leaves the antialiasing out.
#
# ONNX's `Resize` has `antialias` since opset 18, and torch writes it. One would guess that a
# runtime which lacks it refuses the file. OpenVINO reads it without a word and resizes as if
# `antialias` were 0, so most pixels of a large picture count for nothing.
#
# Seen with OpenVINO 2026.4.1, ONNX Runtime 1.32.0, which antialiases, and Pillow 13.0.0. It
# matters because a graph that scales the picture itself is a way to ship preprocessing: a
# scratch that torch and ONNX Runtime blend into its neighbours is in OpenVINO either gone or
# at its full contrast, by where it lies, and the scores are others than when it was tested.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 pillow==13.0.0

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
import PIL
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIDE, SMALL = 64, 16


def write(antialias):
    graph = helper.make_graph(
        [
            helper.make_node(
                "Resize", ["x", "", "", "sizes"], ["y"], mode="linear", antialias=antialias
            )
        ],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, SMALL, SMALL])],
        [numpy_helper.from_array(np.array([1, 1, SMALL, SMALL]), "sizes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, f"antialias-{antialias}.onnx")


picture = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)
by_pillow = np.asarray(Image.fromarray(picture).resize((SMALL, SMALL), Image.Resampling.BILINEAR))
read = {}
for antialias in (0, 1):
    write(antialias)
    path, x = f"antialias-{antialias}.onnx", picture[None, None]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    read["ONNX Runtime", antialias] = session.run(None, {"x": x})[0][0, 0]
    read["OpenVINO", antialias] = compiled(x)[0][0, 0]

print(f"ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__}, Pillow {PIL.__version__}")
off = {}
for (runtime, antialias), values in read.items():
    inner = np.abs(values - by_pillow)[1:-1, 1:-1]  # at the border the two round otherwise
    off[runtime, antialias] = float(inner.max())
    print(f"{runtime}, antialias={antialias}: up to {inner.max():.3g} from Pillow")
same = np.array_equal(read["OpenVINO", 0], read["OpenVINO", 1])
print(f"OpenVINO gives the same with and without: {same}")
if not same or off["ONNX Runtime", 1] > 1e-5 or off["OpenVINO", 1] < 0.1:
    sys.exit("changed: ONNX Runtime antialiased as Pillow does, and OpenVINO did not")
PYTHON
