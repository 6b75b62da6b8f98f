"""Fits on a cluster learn what fits in one process learn, whatever becomes of its nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from softpatch import (
    ImageError,
    PaDiM,
    PatchCore,
    RandomBank,
    RandomEnsemble,
    SoftPatch,
    UsageError,
    fail_unreadable,
)
from softpatch.compute.progress import Progress, silent
from softpatch.detectors import Detector
from softpatch.distributed import blocks
from softpatch.distributed.cluster import Cluster, connected
from softpatch.distributed.sharded_patches import OnCluster
from softpatch.images.sources import ignore_unreadable
from softpatch.noise.discriminators import Discriminator
from tests.distributed.conftest import Nodes

# 4 pictures of 64 positions x 256 numbers: parts are large enough not to travel with messages.
SMALL: dict[str, Any] = {
    "resize": 64, "crop": 64, "dimension": 256, "coreset_ratio": 0.05, "max_false_alarms": 0.1,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "IMAGES", 4)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 600_000)  # two blocks of positions


@pytest.fixture(
    scope="module", params=["lof-distance", pytest.param("position-free", marks=pytest.mark.long)]
)
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

    fitted = plain.clone().fit(
        photos, embed=OnCluster(cluster, "exact"), on_unreadable=skipped.append, progress=progress
    )

    assert lost == ["embed", "gather"]
    assert content(fitted, tmp_path) == content(plain, tmp_path)
    assert [(error.name, error.reason) for error in skipped] == [
        (error.name, error.reason) for error in plain.skipped_
    ]


def test_sharded_coreset_finds_the_same_suspects_and_says_how_well_it_covers(
    plain: SoftPatch, photos: Path, cluster: Cluster
) -> None:
    on_cluster = OnCluster(cluster, "sharded")
    fitted = plain.clone().fit(photos, embed=on_cluster, on_unreadable=ignore_unreadable)

    assert fitted.suspects() == plain.suspects()
    assert torch.equal(fitted.reservoir_.patches, plain.reservoir_.patches)
    assert len(fitted.bank_) == len(plain.bank_)
    coverage = on_cluster.coverage
    assert coverage is not None
    assert coverage.separation > 0
    assert coverage.radius <= coverage.separation + coverage.slack
    scores = [
        [one.score for one in model.predict(photos, on_unreadable=ignore_unreadable)]
        for model in (plain, fitted)
    ]
    assert np.argmax(scores[0]) == np.argmax(scores[1])
    assert len(fitted.update(photos, on_unreadable=ignore_unreadable).image_names_) == 34


@pytest.mark.parametrize(
    "method",
    [
        PatchCore,
        PaDiM,
        pytest.param(RandomBank, marks=pytest.mark.long),
        pytest.param(RandomEnsemble, marks=pytest.mark.long),
    ],
)
def test_other_methods(
    method: type[Detector], photos: Path, cluster: Cluster, tmp_path: Path
) -> None:
    options = {name: SMALL[name] for name in ("resize", "crop", "device")}
    detector = method(**options)
    fitted = detector.clone().fit(photos, embed=OnCluster(cluster), on_unreadable=ignore_unreadable)
    detector.fit(photos, on_unreadable=ignore_unreadable)
    assert content(fitted, tmp_path) == content(detector, tmp_path)


def test_strict_stops_at_the_first_unreadable_picture(photos: Path, cluster: Cluster) -> None:
    with pytest.raises(ImageError, match=r"06\.png: not a picture"):
        SoftPatch(**SMALL).fit(photos, embed=OnCluster(cluster), on_unreadable=fail_unreadable)


def test_a_discriminator_of_ones_own_and_its_errors_come_back_from_the_tasks(
    photos: Path, cluster: Cluster, tmp_path: Path
) -> None:
    class Largest(Discriminator):
        broken = False

        def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
            if self.broken:
                raise UsageError("none such")
            return 1 + patches.amax(dim=2).clamp(min=0)

    own = Largest()
    options: dict[str, Any] = {"on_unreadable": ignore_unreadable}
    here = SoftPatch(**SMALL, discriminator=own).fit(photos, **options)
    there = here.clone().fit(photos, embed=OnCluster(cluster), **options)
    assert content(there, tmp_path) == content(here, tmp_path)
    own.broken = True
    with pytest.raises(UsageError, match="none such"), connected():
        here.clone().fit(photos, embed=OnCluster(cluster), **options)


def test_what_a_cluster_does_not_do(cluster: Cluster, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="auto, exact or sharded"):
        OnCluster(cluster, "best")
    with pytest.raises(UsageError, match="without a cluster"):
        PatchCore(**SMALL).fit(photos, embed=OnCluster(cluster), checkpoint=tmp_path / "kept")
