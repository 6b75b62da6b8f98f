#!/usr/bin/env bash
# A picture of 12 bits: 0...4095 or 0...65520, by file format and by reader.
#
# One would guess that a grey picture of 12-bit samples reads as 0...4095 everywhere, or that a
# reader has one habit. OpenCV multiplies those of a TIFF by 16, but not those of JPEG 2000;
# Pillow multiplies those of JPEG 2000, but not those of a TIFF. tifffile and imagecodecs
# never do.
#
# Seen with OpenCV 5.0.0.93, Pillow 13.0.0, tifffile 2026.3.3, imagecodecs 2026.3.6. It
# matters because cameras of 12 bits are common in inspection: a detector that learned from one
# format or through one reader sees pictures 16 times as bright through the other.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 opencv-python-headless==5.0.0.93 pillow==13.0.0 tifffile==2026.3.3 imagecodecs==2026.3.6

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import struct
import sys
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import PIL
import tifffile
from PIL import Image

SIDE = 16
samples = np.linspace(0, 4095, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)


def tiff(samples):
    """Two samples in three bytes, the first one's upper bits first, as TIFF has it."""
    first, second = samples.reshape(-1, 2).astype(int).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    data = packed.astype(np.uint8).tobytes()
    tags = {256: SIDE, 257: SIDE, 258: 12, 259: 1, 262: 1, 273: 122, 277: 1, 278: SIDE, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head + data


Path("grey.tif").write_bytes(tiff(samples))
Path("grey.jp2").write_bytes(
    imagecodecs.jpeg2k_encode(samples, level=0, bitspersample=12, codecformat="jp2")
)
READERS = {
    f"OpenCV {cv2.__version__}": lambda path: cv2.imread(path, cv2.IMREAD_UNCHANGED),
    f"Pillow {PIL.__version__}": lambda path: np.asarray(Image.open(path)),
    f"imagecodecs {imagecodecs.__version__}": imagecodecs.imread,
}
factors = []
for reader, read in READERS.items():
    for path in ("grey.tif", "grey.jp2"):
        values = read(path)
        factor = next((f for f in (1, 16) if np.array_equal(values, samples * f)), None)
        factors.append(factor)
        print(f"{reader:<22} {path}: {values.dtype}, 4095 reads as {values.max()}")
values = tifffile.imread("grey.tif")
print(f"tifffile {tifffile.__version__:<13} grey.tif: {values.dtype}, 4095 reads as {values.max()}")
if factors != [16, 1, 1, 16, 1, 1] or not np.array_equal(values, samples):
    sys.exit("changed: OpenCV scaled the TIFF alone, and Pillow the JPEG 2000 file alone")
PYTHON
