#!/usr/bin/env bash
# One NaN in an anomaly map: OpenCV passes over it, unless it is the first pixel.
#
# One would guess that `cv2.normalize(NORM_MINMAX)` either makes all of a map NaN if one pixel
# is, as NumPy's min and max would, or leaves NaN out. Which of them depends on the place: at
# the top left everything becomes NaN, anywhere else that pixel alone. With 8 bits as the result
# the first is a picture of zeros: a map that shows nothing.
#
# Seen with OpenCV 5.0.0.93. It matters because heat maps are made this way, and a region of
# interest or a warp leaves NaN at corners: a defect's heat map turns all black.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 opencv-python-headless==5.0.0.93

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np

print(f"OpenCV {cv2.__version__}")
seen = {}
for place in ((0, 0), (0, 1), (32, 32), (63, 63)):
    scores = np.linspace(0, 50, 64 * 64, dtype=np.float32).reshape(64, 64)
    scores[place] = np.nan
    scaled = cv2.normalize(scores, None, 0, 1, cv2.NORM_MINMAX)
    shown = cv2.normalize(scores, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    seen[place] = (int(np.isnan(scaled).sum()), int(shown.max()))
    print(
        f"NaN at {place}: {seen[place][0]} of {scaled.size} pixels become NaN;"
        f" as 8 bits they are {shown.min()} to {shown.max()}"
    )
if seen != {(0, 0): (4096, 0), (0, 1): (1, 255), (32, 32): (1, 255), (63, 63): (1, 255)}:
    sys.exit("changed: NaN as the first pixel spread to all, elsewhere it stayed alone")
PYTHON
