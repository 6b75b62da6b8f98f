#!/usr/bin/env bash
# torchmetrics' AUROC of raw anomaly scores depends on the batches, and may be 0.5 for all.
#
# `BinaryAUROC` says that it puts scores beyond 0...1 through a sigmoid. That keeps their order,
# so one would guess that no AUROC changes. But it decides so for each batch: scores of a batch
# within 0...1 stay as they are, those of the next are squeezed into 0.5...1. And float32 has no
# numbers between the sigmoid of 20 and 1, so distances of 30 to 60 all become equal, and the
# AUROC 0.5. scikit-learn beside it ranks the scores as they are.
#
# Seen with torchmetrics 1.9.0 and torch 2.14.1. It matters because scores of this field are
# distances, near 1 or far above: the same model has another AUROC with another batch size.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet numpy==2.4.6 torch==2.14.1 torchmetrics==1.9.0 scikit-learn==1.9.1

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys
import warnings

warnings.simplefilter("ignore")
import numpy as np
import torch
import torchmetrics
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision

generator = np.random.default_rng(0)
truth = np.repeat([0, 1], [100, 20])
order = generator.permutation(len(truth))
truth = truth[order]


def measured(scores, batch):
    found = []
    for metric in (BinaryAUROC(), BinaryAveragePrecision()):
        for start in range(0, len(scores), batch):
            part = slice(start, start + batch)
            metric.update(torch.tensor(scores[part]), torch.tensor(truth[part]))
        found.append(round(float(metric.compute()), 3))
    return found


print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}; AUROC, average precision")
results = {}
for name, good, bad in (("near 1", (0.2, 1.1), (0.8, 2)), ("30 to 60", (30, 47), (43, 60))):
    scores = np.r_[generator.uniform(*good, 100), generator.uniform(*bad, 20)].astype(np.float32)[order]
    right = [round(m(truth, scores), 3) for m in (roc_auc_score, average_precision_score)]
    print(f"scores {name}: scikit-learn {right}")
    for batch in (1, 120):
        results[name, batch] = measured(scores, batch)
        print(f"  in batches of {batch}: {results[name, batch]}")
    results[name] = right
if not (
    results["near 1", 120] == results["near 1"]
    and results["near 1", 1][0] < results["near 1"][0] - 0.05
    and results["30 to 60"][0] > 0.9
    and results["30 to 60", 120][0] == 0.5
):
    sys.exit("changed: batches of 1 had a lower AUROC, and distances of 30 to 60 one of 0.5")
PYTHON
