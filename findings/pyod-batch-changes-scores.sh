#!/usr/bin/env bash
# pyod's ECOD and COPOD: of fifty equal defects none is an outlier, of one it is.
#
# One would guess that a fitted detector gives a sample the same score alone and in a batch, as
# KNN and HBOS do. ECOD and COPOD add the batch to their training data before they rank it, so a
# score depends on what comes along: the more defects of a kind there are in one call, the more
# normal each of them is.
#
# Seen with pyod 3.6.7. It matters because a fault of the line makes many bad parts at once:
# scored one by one each is found, and scored at the end of the shift in one call none is. An
# evaluation on a test set with many defects is also worse than what the line would see.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 pyod==3.6.7

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")
import pyod
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.knn import KNN

good = np.random.default_rng(0).normal(size=(200, 5))
defect = np.full((1, 5), 6.0)
print(f"pyod {pyod.__version__}; 200 good samples, a defect 6 standard deviations away")
found = {}
for method in (ECOD, COPOD, HBOS, KNN):
    detector = method().fit(good)
    for count in (1, 50):
        batch = np.repeat(defect, count, axis=0)
        score, flagged = detector.decision_function(batch)[0], detector.predict(batch).sum()
        found[method.__name__, count] = int(flagged)
        print(
            f"{method.__name__}, {count} at once: score {score:.2f}, threshold"
            f" {detector.threshold_:.2f}, {flagged} found"
        )
if list(found.values()) != [1, 0, 1, 0, 1, 50, 1, 50]:
    sys.exit("changed: ECOD and COPOD found one defect, and none of fifty equal ones")
PYTHON
