"""The cells of a benchmark as tasks of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from softpatch.benchmark.plan import Cell
from softpatch.benchmark.results import FAILED, Row
from softpatch.benchmark.run import RunSettings, lost, run_fit
from softpatch.distributed.cluster import connected


def fits_on_cluster(
    work: Sequence[list[Cell]], settings: RunSettings
) -> Iterator[Mapping[Cell, Row]]:
    """Fit by fit as they finish; a fit whose node is lost is run again."""
    if not work:
        return
    with connected(settings.address) as cluster:
        import ray

        here = replace(settings, threads=cluster.surroundings.threads)
        waiting = {cluster.submit(run_fit, cells, here): cells for cells in work}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            cells = waiting.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayError as error:  # out of memory, most likely
                yield {cell: lost(cell, FAILED, error) for cell in cells}
