#!/usr/bin/env bash
# `cv2.matchTemplate` finds a flat template everywhere, with the best score there is.
#
# TM_CCOEFF_NORMED is a correlation. A template without contrast correlates with nothing, so one
# would guess 0, or NaN. OpenCV gives 1, a perfect match, at every place of any picture; the
# other way round, a template with contrast in a flat picture, it is 0. scikit-image's
# `match_template` has 0 in both cases.
#
# Seen with OpenCV 5.0.0.93 and scikit-image 0.26.0. It matters because templates align parts
# before they are compared: a template cut from an overexposed or empty corner is "found" at
# (0, 0) with a score of 1, and every part is then misaligned without a warning.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 opencv-python-headless==5.0.0.93 scikit-image==0.26.0

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
import skimage
from skimage.feature import match_template

picture = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
flat = np.full_like(picture, 90)
scores = {}
for name, image, template in (
    ("flat template", picture, flat[:16, :16]),
    ("flat picture", flat, picture[:16, :16]),
):
    found = cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED)
    other = match_template(image.astype(float), template.astype(float))
    scores[name] = (float(found.min()), float(found.max()))
    print(f"{name}: OpenCV {cv2.__version__} {found.min()} to {found.max()},", end=" ")
    print(f"scikit-image {skimage.__version__} {other.min()} to {other.max()}")
if scores != {"flat template": (1, 1), "flat picture": (0, 0)}:
    sys.exit("changed: a flat template scored 1 everywhere, in a flat picture any scored 0")
PYTHON
