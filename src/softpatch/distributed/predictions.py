"""Predictions as Parquet: the model lies in the object store once, actors score and write.

Every list of pictures becomes one file, named by its place, so that a list that is scored again
after a node was lost replaces its own file. The folder has its name only once it is complete.
"""

from __future__ import annotations

import io
import pickle
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from softpatch.compute.progress import Progress
from softpatch.detectors import Detector
from softpatch.detectors.load import restore
from softpatch.distributed.cluster import Cluster, TaskEnvironment
from softpatch.distributed.pictures import filesystem_of
from softpatch.distributed.stream import Worker, stream
from softpatch.errors import ImageError
from softpatch.images.sources import ImageSource, OnUnreadable
from softpatch.runtime.prediction import Prediction
from softpatch.storage import model_file

NAME = "predictions.parquet"
WORST = 10  # pictures that are told by name


@dataclass
class Scored:
    """What there is to say about pictures that were scored.

    Attributes:
        pictures: how many.
        anomalous: how many of them; None where the model has no threshold.
        worst: name and score of the most anomalous, worst first.
    """

    pictures: int = 0
    anomalous: int | None = None
    worst: list[tuple[str, float]] = field(default_factory=list)

    def add(self, other: Scored) -> None:
        """Take in what another list of pictures came to."""
        self.pictures += other.pictures
        if other.anomalous is not None:
            self.anomalous = (self.anomalous or 0) + other.anomalous
        self.worst = sorted(self.worst + other.worst, key=lambda one: -one[1])[:WORST]


class ScoringActor(Worker):
    """Pictures to a file of predictions."""

    def __init__(self, surroundings: TaskEnvironment, model: Any, folder: str, maps: bool) -> None:
        super().__init__(surroundings)
        self.model = model
        self.folder = folder
        self.maps = maps

    @cached_property
    def detector(self) -> Detector:
        """Made with the first list, as of ``Embedder``."""
        import ray

        return restore(*ray.get(self.model))

    def work(self, first: int, sources: Iterable[ImageSource]) -> dict[str, Any]:
        """A row of ``scored``: about them, and names of and reasons for those unreadable."""
        unreadable: list[ImageError] = []
        found = list(self.detector.predict(sources, on_unreadable=unreadable.append))
        filesystem, folder = filesystem_of(self.folder)
        filesystem.pipe_file(f"{folder}/part-{first:012}.parquet", parquet(found, self.maps))
        judged = any(one.anomalous is not None for one in found)
        scored = Scored(len(found), sum(bool(one.anomalous) for one in found) if judged else None)
        scored.add(Scored(worst=[(one.name, one.score) for one in found]))
        errors = [(error.name, error.reason) for error in unreadable]
        return {"scored": np.array([pickle.dumps((scored, errors))], dtype=object)}


def predict_to_parquet(
    cluster: Cluster,
    model: Path,
    sources: Sequence[ImageSource],
    output: str,
    *,
    maps: bool,
    run: dict[str, Any],
    on_unreadable: OnUnreadable,
    progress: Progress,
) -> Scored:
    """Score pictures on a cluster; a folder of Parquet files, the model's scores bit for bit.

    Args:
        cluster: to use.
        model: the model's file.
        sources: the pictures.
        output: folder or URL that gets ``predictions.parquet``, in place of an earlier one; every
            node must be able to write there.
        maps: whether to keep each picture's anomaly map, some 200 kB.
        run: ``device``, ``weights`` and ``batch_size`` as ``load`` takes them.
        on_unreadable: gets the pictures that cannot be read, in order.
        progress: told of the step ``predict``.

    Raises:
        ModelFileError: as ``load``.
        ImageError: none of the pictures can be read.
    """
    import ray

    header, state = model_file.read(model)
    device = restore(model, header, dict(state), run).device  # and every error it may have
    filesystem, folder = filesystem_of(output)
    final, partial = f"{folder}/{NAME}", f"{folder}/.{NAME}.{secrets.token_hex(4)}"
    filesystem.makedirs(partial, exist_ok=True)
    whole = Scored()
    done = 0
    try:
        content = ray.put((model, header, state, {**run, "device": device.type}))
        tables = stream(
            cluster, ScoringActor, (content, filesystem.unstrip_protocol(partial), maps), sources,
            gpu=device.type == "cuda",
        )  # fmt: skip
        for table in tables:
            scored, errors = pickle.loads(ray.get(table)["scored"][0].as_py())
            whole.add(scored)
            for name, reason in errors:
                on_unreadable(ImageError(name, reason))
            done += scored.pictures + len(errors)
            progress("predict", done, len(sources))
        if not whole.pictures:
            raise ImageError(output, "none of the pictures can be read")
        if filesystem.exists(final):
            filesystem.rm(final, recursive=True)
        filesystem.mv(partial, final, recursive=True)
    except BaseException:
        filesystem.rm(partial, recursive=True)
        raise
    return whole


def parquet(predictions: Sequence[Prediction], maps: bool) -> bytes:
    """A file of predictions: name, score, anomalous, level, threshold, height, width, and maps.

    ``anomalous``, ``level`` and ``threshold`` are null without a threshold. A map is the list
    ``map`` of ``map_height`` rows, each of ``map_width`` numbers.
    """
    import pyarrow as pa
    from pyarrow.parquet import write_table

    columns: dict[str, tuple[Any, list[Any]]] = {
        "name": (pa.string(), [one.name for one in predictions]),
        "score": (pa.float64(), [one.score for one in predictions]),
        "anomalous": (pa.bool_(), [one.anomalous for one in predictions]),
        "level": (pa.float64(), [one.level for one in predictions]),
        "threshold": (pa.float64(), [one.threshold for one in predictions]),
        "height": (pa.int32(), [one.size[0] for one in predictions]),
        "width": (pa.int32(), [one.size[1] for one in predictions]),
    }
    if maps:
        drawn = [one.anomaly_map for one in predictions]
        columns["map"] = (pa.list_(pa.float32()), [one.ravel() for one in drawn])
        columns["map_height"] = (pa.int32(), [one.shape[0] for one in drawn])
        columns["map_width"] = (pa.int32(), [one.shape[1] for one in drawn])
    table = pa.table({name: pa.array(values, kind) for name, (kind, values) in columns.items()})
    file = io.BytesIO()
    write_table(table, file)
    return file.getvalue()
