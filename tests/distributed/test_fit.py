"""Fits on a cluster learn what fits in one process learn, whatever becomes of its nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from softpatch import ImageError, PaDiM, PatchCore, SoftPatch, UsageError, fail_unreadable
from softpatch.detectors import Detector
from softpatch.distributed import shards
from softpatch.distributed.cluster import Cluster, connected
from softpatch.distributed.detectors import SoftPatchOnCluster, on_cluster
from softpatch.images.sources import ignore_unreadable
from tests.distributed.conftest import Nodes

# 4 pictures of 64 positions x 256 numbers: parts are large enough not to travel with messages.
SMALL: dict[str, Any] = {
    "resize": 64, "crop": 64, "dimension": 256, "coreset_ratio": 0.05, "max_false_alarms": 0.1,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PICTURES", 4)
    monkeypatch.setattr(shards, "SHARD_BYTES", 600_000)  # two blocks of positions


@pytest.fixture(scope="module", params=["fused", "anywhere"])
def plain(request: pytest.FixtureRequest, photos: Path) -> SoftPatch:
    detector = SoftPatch(**SMALL, discriminator=request.param)
    return detector.fit(photos, on_unreadable=ignore_unreadable)


def content(detector: Detector, folder: Path) -> bytes:
    detector.save(folder / "model")
    return (folder / "model").read_bytes()


def test_exact_model_is_the_plain_one_byte_for_byte_though_two_nodes_are_lost(
    plain: SoftPatch, photos: Path, nodes: Nodes, cluster: Cluster, tmp_path: Path
) -> None:
    lost: list[str] = []
    skipped: list[ImageError] = []

    def progress(step: str, done: int, total: int) -> None:
        if step in ("embed", "gather") and step not in lost:
            lost.append(step)
            nodes.lose_worker()

    fitted = on_cluster(SoftPatch(**SMALL, discriminator=plain.discriminator), cluster, "exact")
    fitted.fit(photos, on_unreadable=skipped.append, progress=progress)

    assert lost == ["embed", "gather"]
    assert content(fitted, tmp_path) == content(plain, tmp_path)
    assert [(error.name, error.reason) for error in skipped] == [
        (error.name, error.reason) for error in plain.skipped_
    ]


def test_sharded_coreset_finds_the_same_suspects_and_says_how_well_it_covers(
    plain: SoftPatch, photos: Path, cluster: Cluster
) -> None:
    fitted = on_cluster(SoftPatch(**SMALL, discriminator=plain.discriminator), cluster, "sharded")
    assert isinstance(fitted, SoftPatchOnCluster)
    fitted.fit(photos, on_unreadable=ignore_unreadable)

    assert fitted.suspects() == plain.suspects()
    assert fitted.sample_ is not None
    assert plain.sample_ is not None
    assert torch.equal(fitted.sample_.patches, plain.sample_.patches)
    assert len(fitted.bank) == len(plain.bank)
    coverage = fitted.coverage_
    assert coverage is not None
    assert coverage.separation > 0
    assert coverage.radius <= coverage.separation + coverage.slack
    scores = [
        [one.score for one in model.predict(photos, on_unreadable=ignore_unreadable)]
        for model in (plain, fitted)
    ]
    assert np.argmax(scores[0]) == np.argmax(scores[1])
    with pytest.raises(UsageError, match="without a cluster"):
        fitted.update(photos)


@pytest.mark.parametrize("method", [PatchCore, PaDiM])
def test_other_methods(
    method: type[Detector], photos: Path, cluster: Cluster, tmp_path: Path
) -> None:
    options = {name: SMALL[name] for name in ("resize", "crop", "device")}
    detector = method(**options)
    fitted = on_cluster(detector, cluster).fit(photos, on_unreadable=ignore_unreadable)
    detector.fit(photos, on_unreadable=ignore_unreadable)
    assert content(fitted, tmp_path) == content(detector, tmp_path)


def test_strict_stops_at_the_first_unreadable_picture(photos: Path, cluster: Cluster) -> None:
    with pytest.raises(ImageError, match=r"06\.png: not a picture"):
        on_cluster(SoftPatch(**SMALL), cluster).fit(photos, on_unreadable=fail_unreadable)


def test_error_of_a_task_is_raised_as_it_was(photos: Path, cluster: Cluster) -> None:
    wrong = on_cluster(SoftPatch(**SMALL, discriminator="lof"), cluster)
    assert isinstance(wrong, SoftPatchOnCluster)
    wrong.projection = "none such"  # type: ignore[assignment]  # the tasks will notice
    with pytest.raises(UsageError, match="'none such' is none of"), connected():
        wrong.fit(photos, on_unreadable=ignore_unreadable)


def test_coresets_that_there_are_not(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match="padim has no coreset"):
        on_cluster(PaDiM(), cluster, "sharded")
    with pytest.raises(UsageError, match="auto, exact, sharded"):
        on_cluster(PatchCore(), cluster, "best")
