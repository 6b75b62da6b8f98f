"""What a million and a hundred million pictures cost, from constants measured here.

Seconds are of one core, counted as processor time, so that other work on the machine hardly
changes them; bytes follow from the shapes. See docs/scale.md for what the rows mean.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.pictures import DATA, training_and_test
from softpatch import SoftPatch
from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.memory_bank import MemoryBank
from softpatch.compute.progress import silent
from softpatch.detectors.bank_options import BANK_SIZE
from softpatch.distributed.blocks import BLOCK_BYTES
from softpatch.distributed.sharded_coreset import OVERSAMPLED
from softpatch.images.sources import fail_unreadable, image_sources
from softpatch.noise.discriminators import make_discriminator
from softpatch.noise.neighbors import REFERENCES

PICTURES = 24
PICKS = 1000
NUMBER = 4  # bytes of a float32


@dataclass(frozen=True)
class Constants:
    """Of one picture, unless said otherwise.

    Attributes:
        file, patches, outlier: bytes of its file, its patches and its scores W.
        positions, dimension: P and D.
        embed, discriminate, search: processor seconds; the search in a bank of ``BANK_SIZE``.
        pair: processor seconds of a pair of a patch and a pick of the coreset.
    """

    file: float
    patches: int
    outlier: int
    positions: int
    dimension: int
    embed: float
    discriminate: float
    search: float
    pair: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "mvtec_bottle")
    parser.add_argument("--images", type=int, nargs="+", default=[10**6, 10**8])
    arguments = parser.parse_args()
    known = measure(training_and_test(arguments.data, PICTURES)[0])
    print("| a picture | |\n|---|---|")
    for what, amount in (
        ("its file", size(known.file)),
        (f"its {known.positions:,} patches of {known.dimension:,} numbers", size(known.patches)),
        ("its outlier scores W", size(known.outlier)),
        ("reading and embedding it", f"{1000 * known.embed:.0f} ms"),
        (f"comparing it with {REFERENCES:,} others", f"{1000 * known.discriminate:.0f} ms"),
        (f"searching {BANK_SIZE:,} vectors for its patches", f"{1000 * known.search:.0f} ms"),
        ("a pair of patch and pick in the coreset", f"{1e9 * known.pair:.1f} ns"),
    ):
        print(f"| {what} | {amount} |")
    print()
    heads = [f"{count:,} pictures" for count in arguments.images]
    print(f"| | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    columns = [costs(known, count) for count in arguments.images]
    for name in columns[0]:
        print(f"| {name} | {' | '.join(column[name] for column in columns)} |")


def measure(paths: list[Path]) -> Constants:
    model = SoftPatch(device="cpu")
    extractor = model.extractor
    sources = list(image_sources(paths))
    with torch.inference_mode():
        list(model.embedder.embed(sources[:4], fail_unreadable))  # warms up
        batches: list[torch.Tensor] = []

        def embed() -> None:
            embedded = model.embedder.embed(sources, fail_unreadable)
            batches.extend(patches for _, patches in embedded)

        embedding = seconds(embed) / len(sources)
        patches = torch.cat(batches)  # (N, P, D)
        positions, dimension = patches.shape[1:]
        rule = model.policy_.name
        discriminator = make_discriminator(rule, model.k, REFERENCES, model.seed)
        everyone = torch.rand(1, 2 * REFERENCES, dimension)
        discriminate = seconds(lambda: discriminator(everyone, silent)) / (2 * REFERENCES)
        flat = patches.flatten(0, 1)
        known = flat[: -4 * positions]
        bank = MemoryBank(known, torch.ones(len(known)))
        search = seconds(lambda: bank.nearest(flat[-4 * positions :])) / 4 * BANK_SIZE / len(bank)
        pair = seconds(lambda: greedy_coreset(flat, PICKS)) / (len(flat) * PICKS)
    return Constants(
        file=sum(path.stat().st_size for path in paths) / len(paths),
        patches=NUMBER * positions * dimension,
        outlier=NUMBER * positions,
        positions=extractor.positions,
        dimension=extractor.dimension,
        embed=embedding,
        discriminate=discriminate * positions,
        search=search,
        pair=pair,
    )


def costs(known: Constants, count: int) -> dict[str, str]:
    patches = count * known.positions
    shards = min(known.positions, max(1, count * known.patches // BLOCK_BYTES))
    merged = OVERSAMPLED * BANK_SIZE
    work = {
        "embed": count * known.embed,
        "discriminate": count * known.discriminate,
        "coreset, exact": patches * BANK_SIZE * known.pair,
        "coreset, sharded": (patches * merged / shards + merged * BANK_SIZE) * known.pair,
        "measuring what it covers": count * known.search,
    }
    moved = {
        "pictures read": count * known.file,
        "patches moved between nodes": count * known.patches,
        "W, to the driver": count * known.outlier,
        "all patches, to the driver (exact)": count * known.patches,
        "picks of the shards, to the driver (sharded)": merged * NUMBER * known.dimension,
        "one position of all pictures, in one task": 3 * count * NUMBER * known.dimension,
        "references to every node instead of patches": REFERENCES * known.patches,
    }
    return {
        **{f"{name}, core-hours": f"{spent / 3600:,.0f}" for name, spent in work.items()},
        **{name: size(amount) for name, amount in moved.items()},
    }


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def size(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.3g} {unit}"


if __name__ == "__main__":
    main()
