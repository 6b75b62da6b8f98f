#!/usr/bin/env bash
# A matplotlib colour map shows True and False in the same colour.
#
# A colour map takes 0...1 to its two ends, so one would guess that a bool mask comes out in
# these two colours; `imshow` of it does. But called itself, a colour map takes whatever is no
# float for numbers of its 256 colours: False is the first, and True the second, which no eye
# can tell apart.
#
# Seen with matplotlib 3.11.2. It matters because masks are put over pictures this way, without
# `imshow`: the overlay of a found defect is as dark as the rest, and it looks as if nothing had
# been found.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 matplotlib==3.11.2

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import matplotlib
import numpy as np

mask = np.zeros((4, 4), bool)
mask[1:3, 1:3] = True
colours = matplotlib.colormaps["viridis"]
print(f"matplotlib {matplotlib.__version__}, viridis")
apart = {}
for values in (mask, mask.astype(float)):
    low, high = (colours(values, bytes=True)[place][:3].astype(int) for place in ((0, 0), (1, 1)))
    apart[values.dtype.name] = int(np.abs(high - low).max())
    print(f"{values.dtype}: {low} and {high}, at most {apart[values.dtype.name]} levels apart")
if not apart["bool"] < 5 < 100 < apart["float64"]:
    sys.exit("changed: bools were less than 5 levels apart")
PYTHON
