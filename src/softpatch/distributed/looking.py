"""The audit's look at every picture, on a cluster."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from softpatch.auditing.audit import Look
from softpatch.auditing.image_quality import ImageFacts, measure_images
from softpatch.compute.progress import Progress, silent
from softpatch.detectors import SoftPatch
from softpatch.distributed.cluster import Cluster
from softpatch.distributed.detectors import SoftPatchOnCluster, on_cluster
from softpatch.distributed.stream import Worker, stream
from softpatch.errors import ImageError
from softpatch.images.sources import ImageSource, OnUnreadable


class Looker(Worker):
    """Pictures to what they are like."""

    def work(self, first: int, sources: Iterable[ImageSource]) -> dict[str, Any]:
        """A row of ``looked``: pictures, and names of and reasons for those unreadable."""
        del first
        unreadable: list[ImageError] = []
        pictures = measure_images(sources, unreadable.append, silent)
        looked = pictures, [(error.name, error.reason) for error in unreadable]
        return {"looked": np.array([pickle.dumps(looked)], dtype=object)}


def moved_to(cluster: Cluster) -> Callable[[SoftPatch], SoftPatch]:
    """``on_cluster``, as ``audit`` takes it."""

    def moved(detector: SoftPatch) -> SoftPatch:
        found = on_cluster(detector, cluster)
        assert isinstance(found, SoftPatchOnCluster)
        return found

    return moved


def look_on(cluster: Cluster) -> Look:
    """``measure_images``, on that cluster."""

    def look(
        sources: Sequence[ImageSource], on_unreadable: OnUnreadable, progress: Progress
    ) -> list[ImageFacts]:
        import ray

        pictures: list[ImageFacts] = []
        for table in stream(cluster, Looker, (), sources):
            found, unreadable = pickle.loads(ray.get(table)["looked"][0].as_py())
            pictures += found
            for name, reason in unreadable:
                on_unreadable(ImageError(name, reason))
            progress("look", len(pictures), len(sources))
        return pictures

    return look
