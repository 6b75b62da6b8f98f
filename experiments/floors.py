"""How strict floors should be: every rule on every set, and what the other sets would choose.

``python -m experiments.floors measure DATA --categories A B -o floors.csv`` fits a bank a training
set and scores the test set by every rule of ``softpatch.detectors.supported.RULES``: 3 to 6 minutes
each on two cores. ``python -m experiments.floors choose floors.csv`` goes through values of the
three constants of ``softpatch.detectors.strictness`` and reports for each set what those values
give that are best on the others.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softpatch import SoftPatch
from softpatch.compute.progress import silent
from softpatch.compute.scratch import ScratchSpace
from softpatch.datasets import Category, contaminate, largest_noise, open_dataset
from softpatch.detectors import strictness
from softpatch.detectors.patch_table import LocalPatches
from softpatch.detectors.run import Run
from softpatch.detectors.strictness import strictest, worst_scores
from softpatch.detectors.supported import find_support
from softpatch.evaluation.metrics import auroc
from softpatch.features.presets import configure
from softpatch.images.shape import input_size
from softpatch.images.sources import fail_unreadable, listed_sources
from softpatch.runtime.files import csv_bytes, write_atomically

SHARES = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
FREE = (1.002, 1.005, 1.01, 1.015, 1.02, 1.025, 1.03, 1.04, 1.06)
BEARABLE = (1.0, 1.015, 1.025, 1.04, 1.06, 1.1)
TESTED = 260  # pictures of a test set, at most
Constants = tuple[float, float, float]


@dataclass(frozen=True)
class TrainingSet:
    """What every rule gives after training on it; the first one is no floors.

    Attributes:
        name: of the data set, whatever was added to it.
        strict: ``(n,)`` mean floors.
        rises: ``(w, n)`` scores of pictures withheld, as a multiple of those without floors.
        aurocs: ``(n,)`` of images of the test set.
    """

    name: str
    strict: Tensor
    rises: Tensor
    aurocs: Tensor

    def given(self, constants: Constants) -> float:
        """The AUROC by the rule that these values choose."""
        chosen = strictest(self.rises[:, 1:], self.strict[1:], *constants)
        return float(self.aurocs[0 if chosen is None else 1 + chosen])


def main() -> None:
    """Measure, or choose."""
    parser = argparse.ArgumentParser(description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    measuring = steps.add_parser("measure")
    measuring.add_argument("data", type=Path, help="a folder of categories")
    measuring.add_argument("-o", "--output", type=Path, required=True)
    measuring.add_argument("--categories", nargs="+", required=True)
    measuring.add_argument("--noise", nargs="+", type=float, default=[0, 0.1, 0.3])
    measuring.add_argument("--pictures", type=int, help="train on about so many alone")
    measuring.add_argument("--seed", type=int, default=0)
    choosing = steps.add_parser("choose")
    choosing.add_argument("measured", type=Path, nargs="+")
    options = parser.parse_args()
    if options.step == "choose":
        report(list(itertools.chain.from_iterable(map(read, options.measured))))
        return
    rows: list[dict[str, Any]] = []
    for name in options.categories:
        category = open_dataset(options.data).read(name)
        for row in measured(category, options):
            rows.append({"set": name, **row})
            print(rows[-1], flush=True)
            write_atomically(options.output, csv_bytes(rows))


@torch.inference_mode()
def measured(category: Category, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row a training set."""
    everything = [sample.path for sample in (*category.train, *category.test)]
    # What a fit would show the network.
    size = input_size(listed_sources(everything), configure("edge").resize)
    detector = SoftPatch(max_false_alarms=None, resize=size, seed=options.seed)
    run = Run(ScratchSpace(), silent)
    pool = detector.embedder.collect(everything, fail_unreadable, run)
    row_of = {path: row for row, path in enumerate(everything)}
    good = list(range(len(category.train)))
    some = range(0, len(category.test), -(-len(category.test) // TESTED))
    test = torch.tensor([len(good) + at for at in some])
    labels = np.array([category.test[at].defective for at in some])
    if options.pictures:
        good = good[:: -(-len(good) // options.pictures)]
    for noise in options.noise:
        if noise > largest_noise(category, "defects"):
            continue
        drawn = contaminate(category, noise, overlap=True, seed=options.seed)
        bad = [row_of[sample.path] for sample in drawn.injected][: round(noise * len(good))]
        images = torch.tensor([*good, *bad])
        draw = torch.Generator().manual_seed(options.seed)
        images = images[torch.randperm(len(images), generator=draw)]  # some bad ones are withheld
        found = find_support(part_of(pool, images), detector.bank_options, run)
        early, whole = found.candidates(found.early), found.candidates(found.whole)
        unseen = images[found.withheld].sort().values
        withheld = worst_scores(found.vectors[: len(found.early[0])], early, pool, unseen)
        tested = worst_scores(found.vectors, whole, pool, test)
        yield {
            "noise": noise,
            "pictures": len(images),
            "rules": json.dumps(["none", *(str(vars(floors.rule)) for floors in early)]),
            "strict": json.dumps([0.0, *(float(floors.every().mean()) for floors in early)]),
            "rises": json.dumps((withheld / withheld[:, :1]).tolist()),
            "aurocs": json.dumps([auroc(labels, scores.numpy()) for scores in tested.T]),
        }


def part_of(pool: LocalPatches, images: Tensor) -> LocalPatches:
    """Some images, in the order given."""
    names = [pool.names[image] for image in images.tolist()]
    return LocalPatches(pool.patches[images], torch.arange(len(images)), names, [], [], pool.grid)


def read(path: Path) -> list[TrainingSet]:
    """What was measured."""
    csv.field_size_limit(2**30)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    fields = ("strict", "rises", "aurocs")
    return [
        TrainingSet(row["set"], *(torch.tensor(json.loads(row[field])) for field in fields))
        for row in rows
    ]


def loss(sets: list[TrainingSet], constants: Constants) -> float:
    """Mean AUROC less than by the best rule of each training set; every data set counts once."""
    of_set = defaultdict(list)
    for one in sets:
        of_set[one.name].append(float(one.aurocs.max()) - one.given(constants))
    return float(np.mean([np.mean(losses) for losses in of_set.values()]))


def report(sets: list[TrainingSet]) -> None:
    """Print a Markdown table: a row a training set."""
    grid = list(itertools.product(SHARES, FREE, BEARABLE))
    now = strictness.IMAGES, strictness.FREE, strictness.BEARABLE
    best = min(grid, key=lambda constants: loss(sets, constants))
    print(f"best on all: {best}, loss {loss(sets, best):.4f}; now: {loss(sets, now):.4f}\n")
    print("| set | no floors | best rule | now | chosen by the other sets | which |")
    print("|---|---|---|---|---|---|")
    for one in sets:
        others = [other for other in sets if other.name != one.name]
        chosen = min(grid, key=lambda constants: loss(others, constants))
        cells = (one.aurocs[0], one.aurocs.max(), one.given(now), one.given(chosen))
        print(f"| {one.name} | {' | '.join(f'{cell:.3f}' for cell in cells)} | {chosen} |")


if __name__ == "__main__":
    main()
