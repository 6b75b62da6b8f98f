#!/usr/bin/env bash
# `openvino.save_model` rounds 100,000 to 65,504 and 1e-8 to 0, if they are in good company.
#
# It stores weights in 16 bits by default, and keeps a constant in 32 bits if that does not hold
# it: one of 100,000 alone, or of 1e-8 alone, survives. So one would guess that what does not
# fit is safe. But the constant counts as a whole: among values that fit, one too large becomes
# the largest of 16 bits and one too small becomes 0, without a warning.
#
# Seen with OpenVINO 2026.4.1. It matters because a memory bank, variances or limits by position
# are one constant of many values: a squared distance or an inverse covariance beyond 65,504 is
# cut, and a small variance becomes 0, at a few places of the saved model only.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 openvino==2026.4.1

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import numpy as np
import openvino
from openvino import opset13 as ops

print(f"OpenVINO {openvino.__version__}")


def saved(constant):
    x = ops.parameter(constant.shape, np.float32)
    openvino.save_model(openvino.Model([ops.add(x, ops.constant(constant))], [x]), "limits.xml")
    compiled = openvino.compile_model("limits.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(np.zeros_like(constant))[0]


seen = []
for value in (1e5, 1e-8):
    alone = np.full(8, value, np.float32)
    among = np.linspace(1, 1000, 64, dtype=np.float32)
    among[20] = value
    seen.append((float(saved(alone)[0]), float(saved(among)[20])))
    print(f"{value:g}: alone {seen[-1][0]:g}, among 63 values of 1 to 1,000 {seen[-1][1]:g}")
if not np.allclose(seen, [(1e5, 65504), (1e-8, 0)], rtol=1e-6, atol=0):
    sys.exit("changed: both were right alone; among others they became 65,504 and 0")
PYTHON
