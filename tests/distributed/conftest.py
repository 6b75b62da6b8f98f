"""A Ray cluster of two nodes: the driver's, which does no work, and one that may be killed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from softpatch.distributed.cluster import START_SECONDS, Cluster, connected

STORE = 150_000_000  # bytes of each node's object store


class Nodes:
    """The cluster, and how to lose its worker."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as LocalCluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
        self.nodes: Any = LocalCluster(initialize_head=True, head_node_args=head)
        self.worker = self.add()

    def add(self) -> Any:
        """Another node; Ray waits 30 s, too short where other processes hold the cores."""
        node = self.nodes.add_node(wait=False, num_cpus=1, object_store_memory=STORE)
        self.nodes.wait_for_nodes(timeout=START_SECONDS)
        return node

    def lose_worker(self) -> None:
        """Kill the worker node's processes; another node joins."""
        lost, self.worker = self.worker, self.add()
        self.nodes.remove_node(lost, allow_graceful=False)


@pytest.fixture(scope="package")
def nodes() -> Iterator[Nodes]:
    ray = pytest.importorskip("ray", reason="needs softpatch[ray]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_raylet_start_wait_time_s", str(START_SECONDS))
        started = Nodes()
        ray.init(started.nodes.address, logging_level=logging.ERROR, log_to_driver=False)
        yield started
        ray.shutdown()
        started.nodes.shutdown()


@pytest.fixture
def cluster(nodes: Nodes) -> Iterator[Cluster]:
    with connected() as found:
        yield found


@pytest.fixture(scope="package")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventeen pictures in two folders, one of them with a blot, and a file that is none."""
    folder = tmp_path_factory.mktemp("distributed") / "photos"
    for index in range(17):
        noise = np.random.default_rng(index).integers(0, 20, size=(48, 64, 3))
        picture = (np.linspace(40, 200, 64)[None, :, None] + noise).astype(np.uint8)
        if index == 5:
            picture[20:30, 20:30] = 0
        name = f"{'left' if index % 2 else 'right'}/{index:02}.{'jpg' if index % 3 else 'png'}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)
    (folder / "left" / "06.png").write_text("no picture")
    return folder
