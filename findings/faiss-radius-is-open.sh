#!/usr/bin/env bash
# faiss finds no duplicates within radius 0, nor any picture at exactly the radius.
#
# Radius queries of scikit-learn and SciPy include what is at the distance asked for, so one
# would guess that `range_search(x, 0)` returns the exact duplicates of x. It returns nothing,
# not even x: a squared distance must be less than the radius. With inner products it must be
# more, so 1 finds no copy of a unit vector; and with Hamming distances 0 finds no equal hash.
#
# Seen with faiss-cpu 1.15.1. It matters because this is how duplicates are taken out of
# training data, and how a split is checked for test pictures that were trained on: "none" is
# the answer for every data set, however many there are.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 faiss-cpu==1.15.1 scipy==1.17.1

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import faiss
import numpy as np
import scipy
from scipy.spatial import KDTree

generator = np.random.default_rng(0)
vectors = generator.integers(-1, 2, (50, 64)).astype(np.float32)
vectors[10] = vectors[20] = vectors[3]
hashes = generator.integers(0, 256, (50, 8)).astype(np.uint8)
hashes[10] = hashes[20] = hashes[3]
ones = np.eye(8, dtype=np.float32)[[0, 0, 1]]  # unit vectors, the first one twice

flat, inner, binary = faiss.IndexFlatL2(64), faiss.IndexFlatIP(8), faiss.IndexBinaryFlat(64)
flat.add(vectors)
inner.add(ones)
binary.add(hashes)
scipy_finds = sorted(KDTree(vectors).query_ball_point(vectors[3], 0))
found = {
    "L2, radius 0": flat.range_search(vectors[3:4], 0)[2],
    "L2, radius 1e-9": flat.range_search(vectors[3:4], 1e-9)[2],
    "inner product, 1": inner.range_search(ones[:1], 1.0)[2],
    "inner product, 0.999": inner.range_search(ones[:1], 0.999)[2],
    "Hamming, radius 0": binary.range_search(hashes[3:4], 0)[2],
    "Hamming, radius 1": binary.range_search(hashes[3:4], 1)[2],
}
print(f"SciPy {scipy.__version__}, radius 0: {scipy_finds}")
for query, indices in found.items():
    print(f"faiss {faiss.__version__}, {query}: {sorted(indices.tolist())}")
if [len(indices) for indices in found.values()] != [0, 3, 0, 2, 0, 3] or len(scipy_finds) != 3:
    sys.exit("changed: faiss found nothing at exactly the radius")
PYTHON
