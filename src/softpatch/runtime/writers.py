"""Predictions on disk: who writes which file. Another output format is another ``Writer``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL.Image import Image

from .errors import ImageError, reason_of
from .files import csv_bytes, short_name, write_atomically
from .heatmap import png_bytes
from .own_files import is_drawing
from .prediction import Prediction, Remark
from .targets import PAGE, begins, check_folder, check_results, check_target

Row = dict[str, Any]
# Columns, the last ones, that are there if any row has them; newer ones go to the end.
LAST = ("remark", "error", "verdict", "p_value", "discovery")
DRAWN = ("heatmap", "mask")  # columns of drawings; folders are called heatmaps and masks
UNFINISHED = "predictions.unfinished.jsonl"
BEGINNINGS = {  # of what a run writes, and removes of an earlier one
    "predictions.csv": begins(b"path,score,"),
    "predictions.json": begins(b'{\n  "model": '),
    "predictions.html": begins(PAGE),
}


def row(prediction: Prediction) -> Row:
    """One image's result, the same in CSV, JSON, Parquet and the journal of a watched folder.

    Returns:
        the columns, of which ``anomalous``, ``level``, ``threshold`` and ``verdict`` are there for
        a model with a threshold only; ``Drawings`` adds its own.

        - ``path``: the image file as given, or its URL.
        - ``score``: float, at least 0; larger is more anomalous. Comparable within a model.
        - ``anomalous``: bool, whether the score exceeds the threshold.
        - ``level``: float, score / (score + threshold): 0 to 1, and 0.5 at the threshold.
        - ``threshold``: float, the model's.
        - ``width``, ``height``: int, the image's pixels.
        - ``heatmap``, ``mask``: path of the drawing, from the folder of the table.
        - ``remark``: what is odd about the image, such as values that the model does not know; only
          where something is.
        - ``error``: why there is no drawing.
        - ``verdict``: ``good``, ``look`` or ``bad``.
        - ``p_value``: float, of good images about the share that scores at least as high; only
          where the model knows.
    """
    height, width = prediction.size
    names = () if prediction.threshold is None else ("anomalous", "level", "threshold")
    judged = {name: getattr(prediction, name) for name in names}
    seldom = {name: getattr(prediction, name) for name in ("remark", "verdict", "p_value")}
    return {
        "path": prediction.name, "score": prediction.score, **judged,
        "width": width, "height": height,
        **{name: value for name, value in seldom.items() if value is not None},
    }  # fmt: skip


def not_judged(error: ImageError) -> Row:
    """The row of an image without a result: its ``path``, and the reason as ``error``."""
    return {"path": error.name, "error": f"not judged: {error.reason}"}


class Writer:
    """One kind of output; overrides what it needs."""

    def begin(self) -> None:
        """Make room, when the first result is there."""

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
        for writer in writers if not rows else ():
            writer.begin()
        rows.append(row(prediction))
        for writer in writers:
            writer.add(prediction, rows[-1])
    rows.sort(key=lambda row: -row["score"])
    for writer in writers if rows else ():
        writer.finish(rows)
    return rows


class Tables(Writer):
    """``predictions.csv`` and ``predictions.json``, the most anomalous image first.

    Both have the images that were not judged, at the end or as ``skipped``; the second has the
    model's limits, too. Until they are complete, each result is a line in ``UNFINISHED``, so that
    what was scored is there however the run ends. What an earlier run has left in the folder is
    removed when the first result is there.
    """

    def __init__(
        self, output: Path, model: Path, normal_limit: float, threshold: float | None,
        skipped: Sequence[ImageError], look: float | None = None,
    ) -> None:  # fmt: skip
        """Write to ``output``; ``skipped`` may grow until the last prediction.

        Raises:
            UsageError: it is no folder, or has a file of one of these names that is no earlier
                run's.
        """
        check_results(output, BEGINNINGS)
        self.output, self.skipped, self.noted = output, skipped, 0
        self.about = {"model": str(model), "normal_limit": normal_limit, "threshold": threshold}
        self.about |= {"look": look}

    def begin(self) -> None:
        """Remove older results, which would pass for those of this run."""
        for name in (*BEGINNINGS, UNFINISHED):
            (self.output / name).unlink(missing_ok=True)
        for column in DRAWN:
            remove_drawings(self.output / f"{column}s")

    def add(self, prediction: Prediction, row: Row) -> None:
        """Note it, and the images passed over before it."""
        del prediction
        missed = [not_judged(error) for error in self.skipped[self.noted :]]
        self.noted += len(missed)
        text = "".join(f"{json.dumps(one)}\n" for one in (*missed, row))
        with suppress(OSError), (self.output / UNFINISHED).open("a", encoding="utf-8") as file:
            file.write(text)  # if it cannot be written, the tables may still be

    def finish(self, rows: Sequence[Row]) -> None:
        """Write both."""
        unread = [{"path": error.name, "reason": error.reason} for error in self.skipped]
        content = {**self.about, "predictions": rows, "skipped": unread}
        every = [*rows, *map(not_judged, self.skipped)]
        columns = dict.fromkeys(name for one in every for name in one if name not in LAST)
        columns |= {name: None for name in LAST if any(name in one for one in every)}
        table = [{name: one.get(name, "") for name in columns} for one in every]
        write_atomically(self.output / "predictions.csv", csv_bytes(table))
        text = json.dumps(content, indent=2)
        write_atomically(self.output / "predictions.json", f"{text}\n".encode())
        (self.output / UNFINISHED).unlink(missing_ok=True)


class Drawings(Writer):
    """A PNG file for each image, named in a column ``heatmap`` or ``mask``."""

    def __init__(
        self, output: Path, root: Path, column: str, draw: Callable[[Prediction], Image]
    ) -> None:
        """Draw into ``output/heatmaps``, in subfolders as images have them below ``root``.

        Raises:
            UsageError: something else is there.
        """
        check_folder(output / f"{column}s")
        self.output, self.root, self.column, self.draw = output, root, column, draw

    def add(self, prediction: Prediction, row: Row) -> None:
        """Draw one; if that fails, the row has the reason."""
        image = Path(prediction.name).relative_to(self.root)
        # The whole file name is kept: a folder may hold a.png and a.jpg.
        name = Path(f"{self.column}s", image).with_name(short_name(image.name, ".png"))
        try:
            (self.output / name).parent.mkdir(parents=True, exist_ok=True)
            check_target(self.output / name, is_drawing)
            write_atomically(self.output / name, png_bytes(self.draw(prediction)))
            row[self.column] = name.as_posix()
        except Exception as error:  # such as an image gone since it was scored
            row["error"] = f"no {self.column}: {reason_of(error)}"


def remove_drawings(folder: Path) -> None:
    """Remove what softpatch has drawn in a folder, and the folders that this leaves empty."""
    drawings = [path for path in folder.rglob("*.png") if is_drawing(path)]
    for path in drawings:
        path.unlink()
    inside = {below for path in drawings for below in path.parents if below.is_relative_to(folder)}
    for below in sorted(inside, reverse=True):
        with suppress(OSError):  # not empty
            below.rmdir()


def remarks(rows: Iterable[Row]) -> list[Remark]:
    """What rows say is odd about pictures."""
    return [(str(one["path"]), str(one["remark"])) for one in rows if "remark" in one]


def without_drawing(rows: Iterable[Row]) -> list[ImageError]:
    """What rows say about drawings that could not be made."""
    return [ImageError(one["path"], one["error"]) for one in rows if "error" in one]
