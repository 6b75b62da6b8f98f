"""Predictions as Parquet: the model is in the object store once, actors score and write.

Every list of images becomes one file, named after its first one, so that a list that is scored
again after a node was lost replaces its own file. The folder gets its name when it is complete.
"""

from __future__ import annotations

import io
import pickle
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from softpatch.compute.progress import Progress
from softpatch.detectors import Detector
from softpatch.detectors.load import restore
from softpatch.distributed.actors import Worker, stream
from softpatch.distributed.cluster import Cluster, TaskEnvironment
from softpatch.distributed.remote_images import filesystem_of
from softpatch.errors import ImageError, UsageError
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import OnUnreadable
from softpatch.runtime.prediction import Prediction, Remark
from softpatch.runtime.targets import check_folder
from softpatch.runtime.verdict import Verdict
from softpatch.runtime.writers import not_judged, row
from softpatch.storage import model_file

NAME = "predictions.parquet"
PART = re.compile(r"part-\d+\.parquet")  # a file in it, by the number of its first image
WORST = 10  # images that are named


@dataclass
class Scored:
    """The outcome of scoring images."""

    pictures: int = 0  # how many were scored
    verdicts: Counter[Verdict] = field(default_factory=Counter)  # of a model with a threshold
    # name, score and verdict, worst first
    worst: list[tuple[str, float, Verdict | None]] = field(default_factory=list)
    odd: list[Remark] = field(default_factory=list)

    def add(self, other: Scored) -> None:
        """Take in the outcome of another list of images."""
        self.pictures += other.pictures
        self.verdicts += other.verdicts
        self.odd += other.odd
        self.worst = sorted(self.worst + other.worst, key=lambda one: -one[1])[:WORST]


class ScoringActor(Worker):
    """Images to a file of predictions."""

    def __init__(self, environment: TaskEnvironment, model: Any, folder: str, maps: bool) -> None:
        super().__init__(environment)
        self.model = model
        self.folder = folder
        self.maps = maps

    @cached_property
    def detector(self) -> Detector:
        """Made with the first list, as ``Embedder`` does."""
        import ray

        return restore(*ray.get(self.model))

    def work(self, first: int, sources: Iterable[ImageSource]) -> dict[str, Any]:
        """A row of ``scored``: the outcome, and name and reason of each unreadable image."""
        unreadable: list[ImageError] = []
        found = list(self.detector.predict(sources, on_unreadable=unreadable.append))
        filesystem, folder = filesystem_of(self.folder)
        filesystem.pipe_file(
            f"{folder}/part-{first:012}.parquet", parquet(found, unreadable, self.maps)
        )
        verdicts = Counter(one.verdict for one in found if one.verdict is not None)
        scored = Scored(len(found), verdicts)
        odd = [(one.name, one.remark) for one in found if one.remark is not None]
        scored.add(Scored(worst=[(one.name, one.score, one.verdict) for one in found], odd=odd))
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
    """Score images on a cluster; a folder of Parquet files, the model's scores bit for bit.

    Args:
        cluster: to use.
        model: the model's file.
        sources: the images.
        output: folder or URL that gets ``predictions.parquet``, in place of an earlier one; every
            node must be able to write there.
        maps: whether to keep each image's anomaly map, some 200 kB.
        run: ``device``, ``weights`` and ``batch_size`` as ``load`` takes them.
        on_unreadable: gets the images that cannot be read, in order.
        progress: gets the step ``predict``.

    Raises:
        ModelFileError: as ``load``.
        UsageError: ``output`` is no folder, or has something else of that name.
        ImageError: none of the images can be read.
    """
    import ray

    if "://" not in output:
        check_folder(Path(output))
    filesystem, folder = filesystem_of(output)
    final, partial = f"{folder}/{NAME}", f"{folder}/.{NAME}.{secrets.token_hex(4)}"
    if not all(PART.fullmatch(PurePosixPath(name).name) for name in _inside(filesystem, final)):
        raise UsageError(f"{output}: {NAME} there is something else; move it away")
    header, state = model_file.read(model)
    device = restore(model, header, dict(state), run).device  # and every error it may raise
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
            raise ImageError(output, "none of the pictures can be judged")
        if filesystem.exists(final):
            filesystem.rm(final, recursive=True)
        filesystem.mv(partial, final, recursive=True)
    except BaseException:
        filesystem.rm(partial, recursive=True)
        raise
    return whole


def _inside(filesystem: Any, folder: str) -> list[str]:
    """What lies in a folder, or the path itself if it is none; empty without it."""
    try:
        found: list[str] = filesystem.ls(folder, detail=False)
    except FileNotFoundError:
        return []
    return found


def parquet(
    predictions: Sequence[Prediction], unreadable: Sequence[ImageError], maps: bool
) -> bytes:
    """A file of the rows that ``row`` and ``not_judged`` make; null where they lack a column.

    With ``maps``, a row has its anomaly map as ``map``, a list of ``map_height`` * ``map_width``
    numbers, row by row.
    """
    import pyarrow as pa
    from pyarrow.parquet import write_table

    columns = {
        "path": pa.string(),
        "score": pa.float64(),
        "anomalous": pa.bool_(),
        "level": pa.float64(),
        "threshold": pa.float64(),
        "width": pa.int32(),
        "height": pa.int32(),
        "remark": pa.string(),
        "error": pa.string(),
    }
    rows = [row(one) for one in predictions]
    if maps:
        columns |= {"map": pa.list_(pa.float32()), "map_height": pa.int32()}
        columns |= {"map_width": pa.int32()}
        for line, one in zip(rows, predictions, strict=True):
            line["map"] = one.anomaly_map.ravel()
            line["map_height"], line["map_width"] = one.anomaly_map.shape
    columns |= {"verdict": pa.string(), "p_value": pa.float64()}
    rows += map(not_judged, unreadable)
    for line in rows:  # a name may hold bytes that are no UTF-8
        line["path"] = line["path"].encode("utf-8", "backslashreplace").decode("utf-8")
    file = io.BytesIO()
    write_table(pa.Table.from_pylist(rows, schema=pa.schema(columns.items())), file)
    return file.getvalue()
