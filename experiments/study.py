"""Every rule, cut, embedding and shape on every category: a row a cell, as CSV.

``python -m experiments.study DATA -o out.csv`` takes a GPU, minutes on one and hours without.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments.pool import EMBEDDINGS, SHAPES, Pool, embedded, maps_of
from experiments.rules import Evidence, kept, suspicion
from experiments.scoring import auroc, coreset, metrics, patch_scores
from experiments.transforms import TRANSFORMS, transformed
from softpatch.datasets import Category, contaminate, largest_noise, read_category
from softpatch.runtime.files import csv_bytes, write_atomically

SHARE = 0.02  # of the patches enter the bank
RULES = (
    "lof", "near3", "fused", "fused10%", "fusedroot", "win3", "any3", "any5%", "any3own",
    "lofpicture",
)  # fmt: skip
CUTS = (
    "0.15", "0.15 soft", "0.05", "auto", "pictures", "0.1 of pictures", "0.2 of pictures",
    "0.1 at random", "0.2 at random",
)  # fmt: skip


def main() -> None:
    """Run the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder of categories")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--categories", nargs="+", required=True)
    parser.add_argument("--shapes", nargs="+", default=["whole"], choices=SHAPES)
    parser.add_argument("--embeddings", nargs="+", default=["neighbourhood"], choices=EMBEDDINGS)
    parser.add_argument("--transforms", nargs="+", default=["none"], choices=TRANSFORMS)
    parser.add_argument("--rules", nargs="*", default=list(RULES))
    parser.add_argument("--cuts", nargs="+", default=list(CUTS), choices=CUTS)
    parser.add_argument("--noise", nargs="+", type=float, default=[0, 0.1, 0.4])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows: list[dict[str, Any]] = []
    for name, shape in itertools.product(options.categories, options.shapes):
        category = read_category(options.data / name)
        maps = maps_of(category, shape, device)
        for embedding in options.embeddings:
            pool = embedded(maps, embedding)
            of_pool = {"set": name, "shape": shape, "embedding": embedding}
            for transform in options.transforms:
                changed = transformed(pool, transform, len(category.train))
                for row in cells(category, changed, options):
                    rows.append({**of_pool, "transform": transform, **row})
                    print(rows[-1], flush=True)
                    write_atomically(options.output, csv_bytes(rows))


def cells(category: Category, pool: Pool, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """PatchCore, and every rule with every cut, at every noise there are defects for."""
    index = {name: at for at, name in enumerate(pool.names)}
    clean = list(range(len(category.train)))
    test = torch.arange(len(clean), len(pool.names), device=pool.image_index.device)
    evidence = Evidence(pool)
    for noise, seed in itertools.product(options.noise, options.seeds):
        if noise > largest_noise(category, "defects"):
            continue
        drawn = contaminate(category, noise, overlap=True, seed=seed)
        injected = [index[str(sample.path)] for sample in drawn.injected]
        training = torch.tensor(sorted([*clean, *injected]), device=test.device)
        about = {"noise": noise, "seed": seed}
        ones = torch.ones(int(pool.of(training).sum()), device=test.device)
        found = cell(pool, training, test, ones > 0, ones, seed)
        yield {**about, "rule": "patchcore", "cut": "none", "audit": None, **found}
        for rule in options.rules if pool.same_grid else [r for r in options.rules if "any" in r]:
            outlier = evidence.outlier_scores(training, rule)
            audit = None
            if injected and pool.same_grid:
                audit = auroc(training >= len(clean), suspicion(outlier))
            for cut in options.cuts:
                weights = outlier.flatten() if cut.endswith("soft") else ones
                keep = kept(outlier, cut.removesuffix(" soft")).flatten()
                found = cell(pool, training, test, keep, weights, seed)
                yield {**about, "rule": rule, "cut": cut, "audit": audit, **found}


def cell(
    pool: Pool, training: Tensor, test: Tensor, keep: Tensor, weights: Tensor, seed: int
) -> dict[str, float]:
    """A bank from the kept patches, and how it does on the test pictures."""
    vectors = pool.patches[pool.of(training)]
    size = round(SHARE * len(vectors))
    picks = coreset(vectors[keep], min(size, int(keep.sum())), seed)
    bank, softened = vectors[keep][picks], weights[keep][picks]
    found = patch_scores(pool.patches[pool.of(test)], bank, softened)
    return {"dropped": 1 - float(keep.float().mean()), **metrics(pool, test, found)}


if __name__ == "__main__":
    main()
