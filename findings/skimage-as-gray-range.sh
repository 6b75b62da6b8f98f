#!/usr/bin/env bash
# `skimage.io.imread(as_gray=True)` gives 0...1 for colour files and 0...255 for grey ones.
#
# One would guess that `as_gray` makes all pictures of a folder alike. A colour file becomes
# floats in 0...1, while a file that is grey already comes as it is, in bytes. Nothing in the
# call shows which of the two one has.
#
# Seen with scikit-image 0.26.0. It matters because exports of cameras and tools mix the two:
# the colour format of a picture does not show when one looks at it, but its values then differ
# by a factor of 255, in training as in any threshold.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 scikit-image==0.26.0 pillow==13.0.0

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import numpy as np
import skimage
from PIL import Image
from skimage.io import imread

grey = np.linspace(0, 255, 64 * 64).astype(np.uint8).reshape(64, 64)
Image.fromarray(grey).save("grey.png")
Image.fromarray(grey).convert("RGB").save("colour.png")  # shows the same

print(f"scikit-image {skimage.__version__}")
read = {path: imread(path, as_gray=True) for path in ("grey.png", "colour.png")}
for path, values in read.items():
    print(f"{path}: {values.dtype}, {values.shape}, {values.min()} to {values.max():.6g}")
if read["grey.png"].dtype != np.uint8 or not np.isclose(read["colour.png"].max(), 1):
    sys.exit("changed: grey came as bytes, and colour as floats up to 1")
PYTHON
