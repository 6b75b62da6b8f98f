#!/usr/bin/env bash
# scikit-learn finds no exact duplicates within radius 0 if vectors are long, nor the query.
#
# `NearestNeighbors(radius=0).radius_neighbors(X)` on the X it was fitted to should find each
# vector and its copies, one would guess: a distance to itself is 0. Up to 15 numbers a vector it
# does. Longer ones are searched by brute force, where distances come from a product of matrices
# and those of equal vectors are up to 1e-5; most vectors then have no neighbour at all. With
# `algorithm="kd_tree"` all is found.
#
# Seen with scikit-learn 1.9.1. It matters because features of networks are long: a search for
# duplicates, in training data or across a split, or `DBSCAN` with a tiny `eps`, reports none.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 scikit-learn==1.9.1

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors

print(f"scikit-learn {sklearn.__version__}; 100 vectors, each twice")
share = {}
for length in (8, 512):
    once = np.random.default_rng(0).random((100, length), dtype=np.float32) * 10
    vectors = np.concatenate([once, once])
    for algorithm in ("auto", "kd_tree"):
        search = NearestNeighbors(radius=0, algorithm=algorithm).fit(vectors)
        found = search.radius_neighbors(return_distance=False, X=vectors)
        copies = np.mean([(i + 100) % 200 in near for i, near in enumerate(found)])
        itself = np.mean([i in near for i, near in enumerate(found)])
        share[length, algorithm] = float(copies)
        print(f"{length} numbers, {algorithm}: copy found {copies:.0%}, itself {itself:.0%}")
    labels = DBSCAN(eps=1e-6, min_samples=2).fit(vectors).labels_
    print(f"{length} numbers, DBSCAN(eps=1e-6): {len(set(labels) - {-1})} of 100 pairs")
if share[8, "auto"] != 1 or share[512, "kd_tree"] != 1 or share[512, "auto"] > 0.5:
    sys.exit("changed: of vectors of 512 numbers, most copies were missed by default")
PYTHON
