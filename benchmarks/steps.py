"""Single steps beside scikit-learn, a naive greedy and faiss, on the same features.

Everything runs in one process on the patches of the edge preset, none of them projected. A peer
too slow to wait for does a part of its work, and the rest is taken to cost the same by position
or by pick, which it does: neither depends on what came before. Each step also says how well the
two agree, because a quicker answer to another question would be none.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import OtherWork, command, hardware, metered
from benchmarks.pictures import DATA, PAPER, read_batches, training_and_test
from benchmarks.processes import RESULTS, say, write_json
from benchmarks.reference.released import one_pick_a_pass, squared_norms
from benchmarks.routes import RATIO
from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.coreset_distances import STARTING_PATCHES
from softpatch.bank.memory_bank import MemoryBank
from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import configure
from softpatch.noise.lof import LocalOutlierFactor

CATEGORIES = ("mvtec_bottle", "magnetic_tile")
K = 6
TAU = 0.15
POSITIONS = 56  # scikit-learn is timed on
PICKS = 100  # the naive greedy is timed on
BATCH = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the categories")
    parser.add_argument("--images", type=int, default=330, help="training pictures at most")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "steps.json")
    arguments = parser.parse_args()
    about = hardware()
    categories = {}
    for category in CATEGORIES:
        say(f"== {category}")
        categories[category] = measure(arguments.data / category, arguments.images)
    result = {"command": command("benchmarks.steps"), "hardware": about, "categories": categories}
    write_json(arguments.output, result)


@torch.inference_mode()
def measure(folder: Path, most: int) -> dict[str, Any]:
    others = OtherWork()
    config = configure("edge", backbone=PAPER["backbone"], embedding=PAPER["embedding"])
    extractor = PatchExtractor(config, torch.device("cpu"))
    train, test = training_and_test(folder, most)
    patches = embed(extractor, train)  # (N, P, D)
    queries = embed(extractor, test)
    discriminate, outlier = measure_discriminate(patches)
    eligible = outlier <= float(np.quantile(outlier.numpy(), 1 - TAU))
    coreset, picks = measure_coreset(patches.flatten(0, 1), eligible)
    bank = patches.flatten(0, 1)[picks]
    del patches
    steps = {
        "discriminate": discriminate,
        "coreset": coreset,
        "search": measure_search(bank, outlier[picks], queries),
    }
    return {
        "images": len(train),
        "dimension": extractor.dimension,
        "bank": len(bank),
        "other_work_cores": others.cores(),
        "steps": steps,
        "ratios": {
            f"{step}_vs_{numbers['peer']}": numbers["peer_seconds"] / numbers["seconds"]
            for step, numbers in steps.items()
        },
    }


def embed(extractor: PatchExtractor, paths: list[Path]) -> Tensor:
    """``(N, P, D)`` patches."""
    patches = torch.empty(len(paths), extractor.grid[0] * extractor.grid[1], extractor.dimension)
    done = 0
    for images in read_batches(paths, extractor.preprocessing, BATCH):
        patches[done : done + len(images)] = extractor(images).flatten(1, 2)
        done += len(images)
    return patches


def measure_discriminate(patches: Tensor) -> tuple[dict[str, Any], Tensor]:
    """LOF at every position, and scikit-learn's at some; the outlier scores ``(N * P,)``."""
    from sklearn.neighbors import LocalOutlierFactor as Peer

    by_position = patches.transpose(0, 1)  # (N, P, D) -> (P, N, D)
    ours, meter = metered(lambda: LocalOutlierFactor(K)(by_position))  # (P, N)
    every = max(1, len(by_position) // POSITIONS)
    sample = by_position[::every]

    def loop() -> list[np.ndarray[Any, np.dtype[np.float32]]]:
        fitted = (Peer(n_neighbors=K).fit(vectors.numpy()) for vectors in sample)
        return [-lof.negative_outlier_factor_ for lof in fitted]

    theirs, peer_meter = metered(loop)
    difference = np.abs(ours[::every].numpy() / np.stack(theirs) - 1)
    numbers = {
        **asdict(meter),
        "peer": "sklearn",
        "peer_seconds": peer_meter.seconds * len(by_position) / len(sample),
        "peer_extra_memory_mb": peer_meter.extra_memory_mb,
        "peer_measured": f"{len(sample)} of {len(by_position)} positions",
        "largest_relative_difference": float(difference.max()),
    }
    return numbers, ours.T.flatten()


def measure_coreset(patches: Tensor, eligible: Tensor) -> tuple[dict[str, Any], Tensor]:
    """The greedy coreset, and some picks of the naive one on the same patches; the picks."""
    size = int(RATIO * len(patches))
    picks, meter = metered(lambda: greedy_coreset(patches, size, eligible=eligible))
    members = eligible.nonzero().flatten()
    first = torch.randperm(len(members), generator=torch.Generator().manual_seed(0))
    start = members[first[:STARTING_PATCHES]]  # as ours starts with seed 0
    count = min(PICKS, size - 1)
    norms, norms_meter = metered(lambda: squared_norms(patches))

    def naive(count: int) -> Tensor:
        return one_pick_a_pass(patches, count, eligible, start, norms)

    _, one = metered(lambda: naive(1))
    theirs, some = metered(lambda: naive(1 + count))
    by_pick = (some.seconds - one.seconds) / count
    numbers = {
        **asdict(meter),
        "peer": "naive",
        "peer_seconds": norms_meter.seconds + one.seconds + by_pick * (size - 1),
        "peer_extra_memory_mb": some.extra_memory_mb,
        "peer_measured": f"{1 + count} of {size} picks",
        # In float32 a near tie may fall the other way, and the picks after it differ.
        "first_picks_the_same": int((theirs != picks[: 1 + count]).int().cumsum(0).eq(0).sum()),
    }
    return numbers, picks


def measure_search(bank: Tensor, weights: Tensor, queries: Tensor) -> dict[str, Any]:
    """The nearest bank vector of every patch of a picture, picture by picture."""
    import faiss

    ours, meter = metered(lambda: MemoryBank(bank, weights))
    index = faiss.IndexFlatL2(bank.shape[1])
    _, peer_meter = metered(lambda: index.add(bank.numpy()))
    ours.nearest(queries[0])
    index.search(queries[0].numpy(), 1)
    seconds, peer_seconds, same = [], [], []
    for picture in queries:
        started = time.perf_counter()
        _, nearest = ours.nearest(picture)
        seconds.append(time.perf_counter() - started)
        time.sleep(0.05)  # until the other library's threads no longer spin
        started = time.perf_counter()
        _, theirs = index.search(picture.numpy(), 1)
        peer_seconds.append(time.perf_counter() - started)
        time.sleep(0.05)
        same.append(float(np.mean(nearest.numpy() == theirs[:, 0])))
    return {
        "seconds": statistics.median(seconds),
        "extra_memory_mb": meter.extra_memory_mb,
        "build_seconds": meter.seconds,
        "peer": "faiss",
        "peer_seconds": statistics.median(peer_seconds),
        "peer_extra_memory_mb": peer_meter.extra_memory_mb,
        "peer_build_seconds": peer_meter.seconds,
        "peer_measured": f"{len(queries)} pictures of {queries.shape[1]} patches each, median",
        "share_the_same": statistics.mean(same),
    }


if __name__ == "__main__":
    main()
