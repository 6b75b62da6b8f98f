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
from softpatch.bank.support import PictureSearch, neighbourhood
from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors.bank_options import BANK_SIZE
from softpatch.detectors.supported import RANKS
from softpatch.distributed.blocks import BLOCK_BYTES
from softpatch.distributed.sharded_coreset import OVERSAMPLED
from softpatch.images.sources import fail_unreadable, image_sources

PICTURES = 24
PICKS = 1000
NUMBER = 4  # bytes of a float32


@dataclass(frozen=True)
class Constants:
    """Of one picture, unless said otherwise.

    Attributes:
        file, patches, outlier: bytes of its file, its patches and its held-out scores.
        positions, dimension: P and D.
        embed, support, search: processor seconds; the last two with a bank of ``BANK_SIZE``.
        pair: processor seconds of a pair of a patch and a pick of the coreset.
    """

    file: float
    patches: int
    outlier: int
    positions: int
    dimension: int
    embed: float
    support: float
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
        ("its held-out scores", size(known.outlier)),
        ("reading and embedding it", f"{1000 * known.embed:.0f} ms"),
        (f"what {BANK_SIZE:,} vectors have in it", f"{1000 * known.support:.0f} ms"),
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
        flat = patches.flatten(0, 1)
        known = flat[: -4 * positions]
        bank = MemoryBank(known, torch.ones(len(known)))
        of, places = (torch.arange(len(known)) // positions, torch.arange(len(known)) % positions)
        beside = neighbourhood(extractor.grid, None, positions)
        support = PictureSearch(known, of, places, max(RANKS) + 1, beside, ScratchSpace())
        rows = torch.arange(len(patches) - 4, len(patches))
        seen = seconds(lambda: support.see(patches[-4:], rows, rows)) / 4 * BANK_SIZE / len(bank)
        search = seconds(lambda: bank.nearest(flat[-4 * positions :])) / 4 * BANK_SIZE / len(bank)
        pair = seconds(lambda: greedy_coreset(flat, PICKS)) / (len(flat) * PICKS)
    return Constants(
        file=sum(path.stat().st_size for path in paths) / len(paths),
        patches=NUMBER * positions * dimension,
        outlier=NUMBER * positions,
        positions=extractor.positions,
        dimension=extractor.dimension,
        embed=embedding,
        support=seen,
        search=search,
        pair=pair,
    )


def costs(known: Constants, count: int) -> dict[str, str]:
    patches = count * known.positions
    shards = min(known.positions, max(1, count * known.patches // BLOCK_BYTES))
    merged = OVERSAMPLED * BANK_SIZE
    work = {
        "embed": count * known.embed,
        "coreset, exact": patches * BANK_SIZE * known.pair,
        "coreset, sharded": (patches * merged / shards + merged * BANK_SIZE) * known.pair,
        "measuring what it covers": count * known.search,
        "support": count * known.support,
        "hold out": count * known.search,
    }
    moved = {
        "pictures read": count * known.file,
        "patches moved between nodes": count * known.patches,
        "held-out scores, to the driver": count * known.outlier,
        "all patches, to the driver (exact)": count * known.patches,
        "picks of the shards, to the driver (sharded)": merged * NUMBER * known.dimension,
        "patches again, to the driver, for support and held-out scores": 2 * count * known.patches,
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
