"""The audit's work on a cluster."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from softpatch.auditing.image_quality import ImageFacts, measure_images
from softpatch.compute.progress import Progress, silent
from softpatch.detectors.embedder import Embedder
from softpatch.detectors.patch_table import PatchTable
from softpatch.detectors.run import Run
from softpatch.distributed.actors import Worker, stream
from softpatch.distributed.cluster import Cluster, TaskEnvironment
from softpatch.distributed.sharded_patches import OnCluster
from softpatch.errors import ImageError
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import Images, OnUnreadable
from softpatch.runtime.intensity import Intensity


class Inspector(Worker):
    """Images to what they are like."""

    def __init__(self, environment: TaskEnvironment, intensity: Intensity) -> None:
        super().__init__(environment)
        self.intensity = intensity

    def work(self, first: int, sources: Iterable[ImageSource]) -> dict[str, Any]:
        """A row of ``facts``: of images, and names of and reasons for those unreadable."""
        del first
        unreadable: list[ImageError] = []
        facts = measure_images(sources, unreadable.append, silent, self.intensity)
        row = facts, [(error.name, error.reason) for error in unreadable]
        return {"facts": np.array([pickle.dumps(row)], dtype=object)}


@dataclass(frozen=True)
class ClusterBackend:
    """``softpatch.auditing.audit.Backend`` on a cluster."""

    cluster: Cluster

    def embed(
        self, embedder: Embedder, images: Images, on_unreadable: OnUnreadable, run: Run
    ) -> PatchTable:
        """See ``OnCluster``."""
        return OnCluster(self.cluster)(embedder, images, on_unreadable, run)

    def measure_images(
        self,
        sources: Sequence[ImageSource],
        on_unreadable: OnUnreadable,
        progress: Progress,
        intensity: Intensity,
    ) -> list[ImageFacts]:
        """See ``softpatch.auditing.image_quality``."""
        import ray

        facts: list[ImageFacts] = []
        for table in stream(self.cluster, Inspector, (intensity,), sources):
            found, unreadable = pickle.loads(ray.get(table)["facts"][0].as_py())
            facts += found
            for name, reason in unreadable:
                on_unreadable(ImageError(name, reason))
            progress("look", len(facts), len(sources))
        return facts
