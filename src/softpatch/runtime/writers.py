"""Predictions on disk: who writes which file. Another output format is another ``Writer``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from .errors import ImageError
from .files import csv_bytes, write_atomically
from .heatmap import png_bytes
from .prediction import Prediction

Row = dict[str, Any]


def row(prediction: Prediction) -> Row:
    """One image's result, the same in CSV, JSON, Parquet and the journal of a watched folder.

    Returns:
        the columns, of which ``anomalous``, ``level`` and ``threshold`` are there for a model with
        a threshold only; ``Drawings`` adds its own.

        - ``path``: the image file as given, or its URL.
        - ``score``: float, at least 0; larger is more anomalous. Comparable within a model.
        - ``anomalous``: bool, whether the score exceeds the threshold.
        - ``level``: float, score / (score + threshold): 0 to 1, and 0.5 at the threshold.
        - ``threshold``: float, the model's.
        - ``width``, ``height``: int, the image's pixels.
        - ``heatmap``, ``mask``: path of the drawing, from the folder of the table.
    """
    height, width = prediction.size
    names = () if prediction.threshold is None else ("anomalous", "level", "threshold")
    judged = {name: getattr(prediction, name) for name in names}
    return {
        "path": prediction.name, "score": prediction.score, **judged,
        "width": width, "height": height,
    }  # fmt: skip


class Writer:
    """One kind of output; overrides ``add``, ``finish`` or both."""

    def add(self, prediction: Prediction, row: Row) -> None:
        """Take in one image's result; may write a file and add its name to the row."""

    def finish(self, rows: Sequence[Row]) -> None:
        """Write what needs all images; there is at least one row."""


def write_predictions(predictions: Iterable[Prediction], writers: Sequence[Writer]) -> list[Row]:
    """Hand predictions to writers one by one: no more than one map is in memory.

    Args:
        predictions: as ``Detector.predict`` yields them.
        writers: in the order in which they add columns; those of tables last.

    Returns:
        their rows, the most anomalous first. If there are none, nothing is finished.
    """
    rows: list[Row] = []
    for prediction in predictions:
        rows.append(row(prediction))
        for writer in writers:
            writer.add(prediction, rows[-1])
    rows.sort(key=lambda row: -row["score"])
    for writer in writers if rows else ():
        writer.finish(rows)
    return rows


class Tables(Writer):
    """``predictions.csv`` and ``predictions.json``, the most anomalous image first.

    The second also has the model's limits and what could not be read.
    """

    def __init__(
        self, output: Path, model: Path, normal_limit: float, threshold: float | None,
        skipped: Sequence[ImageError],
    ) -> None:  # fmt: skip
        """Write to ``output``; ``skipped`` may grow until the last prediction."""
        self.output, self.skipped = output, skipped
        self.about = {"model": str(model), "normal_limit": normal_limit, "threshold": threshold}

    def finish(self, rows: Sequence[Row]) -> None:
        """Write both."""
        unread = [{"path": error.name, "reason": error.reason} for error in self.skipped]
        content = {**self.about, "predictions": rows, "skipped": unread}
        write_atomically(self.output / "predictions.csv", csv_bytes(rows))
        text = json.dumps(content, indent=2)
        write_atomically(self.output / "predictions.json", f"{text}\n".encode())


class Drawings(Writer):
    """A PNG file for each image, named in a column ``heatmap`` or ``mask``."""

    def __init__(
        self, output: Path, root: Path, column: str, draw: Callable[[Prediction], Image]
    ) -> None:
        """Draw into ``output/heatmaps``, in subfolders as images have them below ``root``."""
        self.output, self.root, self.column, self.draw = output, root, column, draw

    def add(self, prediction: Prediction, row: Row) -> None:
        """Draw one."""
        # The whole file name is kept: a folder may hold a.png and a.jpg.
        name = Path(f"{self.column}s", f"{Path(prediction.name).relative_to(self.root)}.png")
        (self.output / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.output / name, png_bytes(self.draw(prediction)))
        row[self.column] = name.as_posix()
