#!/usr/bin/env bash
# Pillow reads a TIFF of 16-bit colour planes as if every byte were a pixel.
#
# TIFF may store red, green and blue one after the other instead of pixel by pixel
# (PlanarConfiguration 2). Pillow reads 16-bit colour as 8 bits, the upper byte of each sample,
# and reads planes of 8 bits rightly, so one would guess the same of planes of 16. But in an
# uncompressed file it takes lower and upper bytes in turn for pixels: each row is the left half
# of the picture, stretched, with noise between. Compressed with zlib the same picture is right.
#
# Seen with Pillow 13.0.0; no warning, no error. It matters because industrial cameras know such
# a format (RGB16_Planar): the pictures look like texture, and a detector learns it as normal.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 pillow==13.0.0 tifffile==2026.3.3

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import numpy as np
import PIL
import tifffile
from PIL import Image

y, x = np.mgrid[:64, :64]
colours = np.stack([x * 1000 + 1, y * 1000 + 2, np.full_like(x, 40003)], axis=-1).astype(np.uint16)
wanted = (colours >> 8).astype(np.uint8)
files = {
    "interleaved": dict(data=colours, photometric="rgb"),
    "planes": dict(data=colours.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
    "planes, zlib": dict(
        data=colours.transpose(2, 0, 1), photometric="rgb", planarconfig="separate",
        compression="zlib",
    ),
}
print(f"Pillow {PIL.__version__}; the upper bytes of blue are {wanted[0, :4, 2]}")
right = []
for name, options in files.items():
    tifffile.imwrite("colours.tif", **options)
    assert np.array_equal(tifffile.imread("colours.tif"), options["data"])
    read = np.asarray(Image.open("colours.tif"))
    right.append(bool(np.array_equal(read, wanted)))
    wrong = int(np.abs(read.astype(int) - wanted).max())
    print(f"{name:<12} {read.shape} {read.dtype}, blue {read[0, :4, 2]}, off by up to {wrong}")
if right != [True, False, True]:
    sys.exit("changed: only uncompressed planes were wrong")
PYTHON
