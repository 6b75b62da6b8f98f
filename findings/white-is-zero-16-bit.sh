#!/usr/bin/env bash
# A TIFF whose zero is white is turned the right way round, if it has 8 bits.
#
# TIFF says in PhotometricInterpretation whether 0 is black or white. Pillow and OpenCV heed it
# in grey files of 8 bits, so one would guess that they do in those of 16. Neither does: what
# is white arrives as black, with no word about it. And OpenCV heeds it after all if it is
# asked for the same file as 8-bit grey.
#
# Seen with Pillow 13.0.0 and OpenCV 5.0.0.93. It matters because a set that has both depths, or
# was saved once more as 8 bits, then has negatives among its pictures, and every one of them
# looks like a defect.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 pillow==13.0.0 opencv-python-headless==5.0.0.93 tifffile==2026.3.3

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
import PIL
import tifffile
from PIL import Image

seen = {}
for dtype in (np.uint8, np.uint16):
    bits = np.iinfo(dtype).bits
    stored = np.full((32, 32), np.iinfo(dtype).max, dtype)  # all black, for zero is white
    stored[8:24, 8:24] = 0  # a white square
    path = f"white-is-zero-{bits}.tif"
    tifffile.imwrite(path, stored, photometric="miniswhite")
    readings = {
        f"Pillow {PIL.__version__}": np.asarray(Image.open(path)),
        f"OpenCV {cv2.__version__} as stored": cv2.imread(path, cv2.IMREAD_UNCHANGED),
        f"OpenCV {cv2.__version__} as grey": cv2.imread(path, cv2.IMREAD_GRAYSCALE),
    }
    for reader, values in readings.items():
        right = bool(values[16, 16] > values[0, 0])
        seen[bits, reader.split()[0] + reader.split()[-1]] = right
        print(f"{bits:>2} bits, {reader:<25} the white square is {'white' if right else 'BLACK'}")
if list(seen.values()) != [True, True, True, False, False, True]:
    sys.exit("changed: 8 bits were right, 16 bits were negatives but for OpenCV's 8-bit grey")
PYTHON
