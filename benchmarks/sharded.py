"""What a bank picked in shards costs: metrics and suspects beside the exact one, on real pictures.

``python -m benchmarks.sharded --data DATA``. Training sets with 10 % of overlapping defects, preset
``edge``, a bank of 2 %. Fitted without a cluster, on a local one with ``coreset="sharded"``, and as
a yardstick without a cluster by another seed of the coreset.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.machine import command, hardware
from benchmarks.pictures import DATA, PAPER
from benchmarks.processes import RESULTS, say, write_json
from benchmarks.updating import CATEGORIES, KEPT, NOISE, RATIO, measured
from softpatch import SoftPatch
from softpatch.datasets import Contamination, contaminate, read_category
from softpatch.distributed import blocks
from softpatch.distributed.cluster import Cluster, connected
from softpatch.distributed.sharded_patches import OnCluster

OPTIONS: dict[str, Any] = {**PAPER, "coreset_ratio": RATIO, "max_false_alarms": 0.01}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--categories", nargs="+", default=CATEGORIES)
    parser.add_argument("--shard-bytes", type=int, default=64 * 2**20, help="smaller: more shards")
    parser.add_argument("--thin", type=int, default=1, help="take every n-th test picture")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "sharded.json")
    arguments = parser.parse_args()
    blocks.BLOCK_BYTES = arguments.shard_bytes
    rows = []
    with connected() as cluster:
        for name in arguments.categories:
            draw = contaminate(read_category(arguments.data / name), NOISE, overlap=True, seed=0)
            rows.append({"set": name, **compared(draw, cluster, arguments.thin)})
            say(json.dumps(rows[-1]))
    write_json(
        arguments.output,
        {"command": command("benchmarks.sharded"), "hardware": hardware(), "rows": rows},
    )


def compared(draw: Contamination, cluster: Cluster, thin: int) -> dict[str, Any]:
    plain, other = (SoftPatch(**OPTIONS, seed=seed).fit(draw.train) for seed in (0, 1))
    sharded = SoftPatch(**OPTIONS)
    on_cluster = OnCluster(cluster, "sharded")
    sharded.fit(draw.train, embed=on_cluster)
    coverage = on_cluster.coverage
    assert coverage is not None
    exact = measured(plain, draw, thin)
    found = {"sharded": measured(sharded, draw, thin), "other_seed": measured(other, draw, thin)}
    return {
        "exact": exact,
        **found,
        "largest_difference": {
            name: max(abs(exact[key] - metrics[key]) for key in KEPT)
            for name, metrics in found.items()
        },
        "same_suspects": plain.suspects() == sharded.suspects(),
        "radius": coverage.radius,
        "half_separation": coverage.separation / 2,
    }


if __name__ == "__main__":
    main()
