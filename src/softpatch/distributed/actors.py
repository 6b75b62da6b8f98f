"""Ray Data over pictures: lists of them go to actors, each of which keeps a network in memory."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from softpatch.distributed.cluster import Cluster, TaskEnvironment
from softpatch.images.image_source import ImageSource

IMAGES = 32  # that an actor takes at a time, 100 MB of patches at 28 x 28 x 1024
MOST_LISTS = 1000  # lists grow beyond, so that what is shuffled stays some 1,000 parts a shard


class Worker:
    """Base of what an actor does; made once for each."""

    def __init__(self, environment: TaskEnvironment) -> None:
        self.environment = environment

    def __call__(self, batch: dict[str, Any]) -> Any:
        """One row of ``stream`` to the columns of one row."""
        self.environment.enter()  # here, as Ray calls from another thread than it began with
        sources = pickle.loads(batch["sources"][0])
        # One list of several has no length, and is embedded in full batches as all of them are.
        return self.work(int(batch["first"][0]), sources if batch["only"][0] else iter(sources))

    def work(self, first: int, sources: Iterable[ImageSource]) -> dict[str, Any]:
        """What becomes of a list of pictures, the first of which has that number."""
        raise NotImplementedError


def stream(
    cluster: Cluster,
    worker: type[Worker],
    arguments: Sequence[Any],
    sources: Sequence[ImageSource],
    *,
    each: int = IMAGES,
    gpu: bool = False,
) -> Iterator[Any]:
    """Read pictures on all of the cluster, in lists of at least ``each``.

    An actor is made as ``worker(cluster.environment, *arguments)``, large arguments being
    references to the object store. One that was lost with its node is made again, and so is what
    it had made.

    Yields:
        in order, for every list, a reference to its row: an Arrow table.
    """
    import ray.data

    count = len(sources)
    each = max(each, -(-count // MOST_LISTS))
    rows = [
        {
            "first": at,
            "sources": pickle.dumps([sources[place] for place in range(at, min(at + each, count))]),
            "only": count <= each,
        }
        for at in range(0, count, each)
    ]
    most = min(len(rows), cluster.gpus if gpu else cluster.slots)
    made = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        worker,
        fn_constructor_args=(cluster.environment, *arguments),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most),
        num_cpus=cluster.cpus,
        num_gpus=1 if gpu else None,
    )
    for bundle in made.iter_internal_ref_bundles():
        yield from bundle.block_refs
