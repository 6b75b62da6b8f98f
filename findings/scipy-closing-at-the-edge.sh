#!/usr/bin/env bash
# SciPy's `binary_closing` removes pixels, where a mask touches the picture's edge.
#
# Closing fills gaps and by definition removes nothing. One would guess that it does so up to
# the edge. In SciPy the erosion in its second half takes all outside the picture as background,
# so the outermost rows and columns of the mask go; OpenCV and scikit-image keep them, and so
# does SciPy's own `grey_closing`.
#
# Seen with SciPy 1.17.1, scikit-image 0.26.0 and OpenCV 5.0.0.93. It matters because a closing
# tidies predicted masks and regions of interest: a defect that runs out of the picture loses
# its end, and one that is a pixel wide along the edge is gone.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 opencv-python-headless==5.0.0.93

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
import scipy
import skimage
from scipy import ndimage
from skimage import morphology

mask = np.zeros((32, 32), bool)
mask[0, 4:28] = True  # a scratch along the upper edge
mask[12:20, 12:20] = True  # a dent in the middle
square = np.ones((3, 3), bool)
closed = {
    f"SciPy {scipy.__version__} binary_closing": ndimage.binary_closing(mask, square),
    f"SciPy {scipy.__version__} grey_closing": ndimage.grey_closing(mask.astype(np.uint8), (3, 3)),
    f"scikit-image {skimage.__version__}": morphology.closing(mask, square),
    f"OpenCV {cv2.__version__}": cv2.morphologyEx(
        mask.astype(np.uint8), cv2.MORPH_CLOSE, square.astype(np.uint8)
    ),
}
lost = []
for name, result in closed.items():
    gone = mask & ~result.astype(bool)
    lost.append(int(gone.sum()))
    print(f"{name}: {mask.sum()} pixels before, {lost[-1]} of them lost")
if lost != [24, 0, 0, 0]:
    sys.exit("changed: binary_closing alone lost the scratch along the edge")
PYTHON
