"""Predictions and audits on a cluster are those of one process."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softpatch import ImageError, SoftPatch, UsageError, audit, load
from softpatch.distributed.audit import ClusterBackend
from softpatch.distributed.cluster import Cluster
from softpatch.distributed.predict import predict_to_parquet
from softpatch.distributed.remote_images import find_pictures
from softpatch.images.sources import ignore_unreadable, image_sources

SMALL: dict[str, Any] = {"resize": 64, "crop": 64, "dimension": 64, "device": "cpu"}


@pytest.fixture(scope="module")
def model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "part.softpatch"
    detector = SoftPatch(**SMALL, max_false_alarms=0.1)
    detector.fit(photos, on_unreadable=ignore_unreadable).save(path)
    return path


def test_parquet_holds_what_predict_says(
    model: Path, photos: Path, cluster: Cluster, tmp_path: Path
) -> None:
    read_table = pytest.importorskip("pyarrow.parquet").read_table
    earlier = tmp_path / "predictions.parquet" / "part-9.parquet"
    earlier.parent.mkdir()
    earlier.write_text("of an earlier run")
    unreadable: list[ImageError] = []
    scored = predict_to_parquet(
        cluster, model, list(image_sources(find_pictures(f"file://{photos}"))), str(tmp_path),
        maps=True, run={"device": "cpu", "weights": None, "batch_size": None},
        on_unreadable=unreadable.append, progress=lambda *_: None,
    )  # fmt: skip
    rows = read_table(tmp_path / "predictions.parquet").to_pylist()
    [broken] = [row for row in rows if row["error"] is not None]
    rows.remove(broken)
    expected = list(load(model, device="cpu").predict(photos, on_unreadable=ignore_unreadable))

    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]
    assert [error.name for error in unreadable] == [f"file://{photos}/left/06.png"]
    assert (broken["path"], broken["score"]) == (unreadable[0].name, None)
    assert broken["error"] == f"not judged: {unreadable[0].reason}"
    assert [row["path"] for row in rows] == [f"file://{one.name}" for one in expected]
    for row, one in zip(rows, expected, strict=True):
        for name in ("score", "anomalous", "level", "threshold", "verdict", "p_value"):
            assert row[name] == getattr(one, name)
        assert (row["height"], row["width"]) == one.size
        shape = (row["map_height"], row["map_width"])
        assert np.array_equal(np.float32(row["map"]).reshape(shape), one.anomaly_map)
    assert scored.pictures == len(expected)
    assert scored.verdicts == Counter(one.verdict for one in expected)
    worst = sorted(expected, key=lambda one: -one.score)[:10]
    assert scored.worst == [(f"file://{one.name}", one.score, one.verdict) for one in worst]


def test_nothing_readable_leaves_nothing(model: Path, cluster: Cluster, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_text("no picture")
    with pytest.raises(ImageError, match="none of the pictures"):
        predict_to_parquet(
            cluster, model, list(image_sources([broken / "a.png"])), str(tmp_path / "out"),
            maps=False, run={"device": "cpu", "weights": None, "batch_size": None},
            on_unreadable=ignore_unreadable, progress=lambda *_: None,
        )  # fmt: skip
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("own", ["predictions.parquet", "predictions.parquet/mine.parquet"])
def test_what_is_not_ours_is_kept(own: str, model: Path, cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / own
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    for out, words in ((tmp_path, "is something else"), (file, "is no folder")):
        with pytest.raises(UsageError, match=words):
            predict_to_parquet(
                cluster, model, [], str(out), maps=False, run={},
                on_unreadable=ignore_unreadable, progress=lambda *_: None,
            )  # fmt: skip
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


@pytest.mark.parametrize("name", ["auto", pytest.param("position-free", marks=pytest.mark.long)])
def test_audit(name: str, photos: Path, cluster: Cluster) -> None:
    options: dict[str, Any] = {
        **SMALL, "discriminator": name, "on_unreadable": ignore_unreadable,
    }  # fmt: skip
    plain = audit(photos, **options)
    found = audit(photos, backend=ClusterBackend(cluster), **options)
    assert found.as_dict() == plain.as_dict()
    for one, other in zip(found.images, plain.images, strict=True):
        assert np.array_equal(one.heat, other.heat)
