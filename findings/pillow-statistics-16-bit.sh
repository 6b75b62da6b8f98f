#!/usr/bin/env bash
# Pillow's statistics of a 16-bit picture depend on anything but how bright it is.
#
# One would guess that `ImageStat.Stat(picture).mean` of a 16-bit grey picture (`I;16`) is the
# mean of its values, or of their upper bytes. It is neither: the histogram behind it counts
# single bytes, lower and upper ones alike. A picture of 1000 everywhere has a mean of 117.5
# and extrema of (3, 232); twice as bright it is 107.5. Only `getextrema` is right.
#
# Seen with Pillow 13.0.0. It matters because a mean per picture is how people watch a camera
# for a failing lamp: of 16-bit pictures it falls while the light grows.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 pillow==13.0.0

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import numpy as np
import PIL
from PIL import Image, ImageStat

print(f"Pillow {PIL.__version__}")
means = []
for value in (1000, 2000, 4000, 8000):
    picture = Image.fromarray(np.full((32, 32), value, np.uint16))
    statistics = ImageStat.Stat(picture)
    means.append(statistics.mean[0])
    print(
        f"{picture.mode}, all {value}: mean {statistics.mean[0]}, extrema {statistics.extrema[0]};"
        f" getextrema() {picture.getextrema()}, mean of NumPy {np.asarray(picture).mean()}"
    )
upper_and_lower = [(value % 256 + value // 256) / 2 for value in (1000, 2000, 4000, 8000)]
if means != upper_and_lower:
    sys.exit("changed: the mean was that of the lower and the upper bytes together")
PYTHON
