"""The fits of a benchmark as tasks of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from softpatch.benchmark.plan import Cell
from softpatch.benchmark.results import Row
from softpatch.benchmark.run import RunSettings, lost, run_fit
from softpatch.compute.progress import Progress
from softpatch.distributed.cluster import connected


def run_on_cluster(
    work: Sequence[Sequence[Cell]],
    settings: RunSettings,
    progress: Progress,
    *,
    address: str | None = None,
) -> Iterator[Mapping[Cell, Row]]:
    """A ``Runner``: as many fits at a time as the cluster has room for, yielded as they finish.

    A fit whose node is lost is run again. All nodes must see the data and the folders under the
    same paths. ``progress`` is not called, as many fits run at the same time.
    """
    del progress
    if not work:
        return
    with connected(address) as cluster:
        import ray

        here = replace(settings, threads=cluster.environment.threads)
        waiting = {cluster.submit(run_fit, cells, here): cells for cells in work}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            cells = waiting.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayError as error:  # out of memory, most likely
                yield {cell: lost(cell, error) for cell in cells}
