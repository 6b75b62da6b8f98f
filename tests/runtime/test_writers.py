"""The row of a prediction, and who writes what of it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softpatch import ImageError, Prediction, UsageError
from softpatch.predictions.overlays import mask, overlay
from softpatch.runtime.writers import Drawings, Row, Tables, Writer, row, write_predictions


@pytest.fixture
def predictions(tmp_path: Path) -> list[Prediction]:
    """Of two files in a subfolder, the second more anomalous."""
    found = []
    for index, score in enumerate((1.0, 3.0)):
        path = tmp_path / "in" / "sub" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), (100, 100, 100)).save(path)
        heat = np.full((4, 4), score, dtype=np.float32)
        found.append(Prediction(str(path), score, heat, (4, 6), (0, 0, 6, 4), threshold=2.0))
    return found


def test_a_row_has_what_the_prediction_says(predictions: list[Prediction]) -> None:
    one = predictions[1]
    assert row(one) == {
        "path": one.name, "score": 3.0, "anomalous": True, "level": 0.6, "threshold": 2.0,
        "width": 6, "height": 4, "verdict": "bad",
    }  # fmt: skip
    assert list(row(replace(one, threshold=None))) == ["path", "score", "width", "height"]
    assert row(replace(one, look=2.5, threshold=3.0))["verdict"] == "look"
    assert row(replace(one, reference=np.array([2.0, 4.0])))["p_value"] == 2 / 3
    at_zero = row(replace(one, threshold=0.0))
    assert (at_zero["anomalous"], at_zero["threshold"]) == (True, 0.0)


def test_every_writer_gets_all_of_them(predictions: list[Prediction], tmp_path: Path) -> None:
    class Own(Writer):
        """Another format."""

        def __init__(self) -> None:
            self.seen: list[str] = []

        def add(self, prediction: Prediction, row: Row) -> None:
            row["order"] = len(self.seen)
            self.seen.append(prediction.name)

    root, out, own = tmp_path / "in", tmp_path / "out", Own()
    out.mkdir()
    rows = write_predictions(
        predictions,
        [
            Drawings(out, root, "heatmap", lambda one: overlay(one.name, one, 1.0)),
            Drawings(out, root, "mask", mask), own,
            Tables(out, tmp_path / "m", 1.0, 2.0, [ImageError("b.png", "no picture")], 1.5),
        ],
    )  # fmt: skip
    assert own.seen == [one.name for one in predictions]
    assert rows == [
        {**row(predictions[at]), "heatmap": f"heatmaps/sub/{at}.png.png",
         "mask": f"masks/sub/{at}.png.png", "order": at}
        for at in (1, 0)
    ]  # fmt: skip
    for name in ("heatmap", "mask"):
        with Image.open(out / rows[0][name]) as drawn:
            assert drawn.size == (6, 4)
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [line["path"] for line in table] == [*(one["path"] for one in rows), "b.png"]
    assert [line["error"] for line in table] == ["", "", "not judged: no picture"]
    assert [line["verdict"] for line in table] == ["bad", "good", ""]
    assert list(table[0])[-2:] == ["error", "verdict"]  # columns of before keep their places
    assert json.loads((out / "predictions.json").read_text("utf-8")) == {
        "model": str(tmp_path / "m"), "normal_limit": 1.0, "threshold": 2.0, "look": 1.5,
        "predictions": rows, "skipped": [{"path": "b.png", "reason": "no picture"}],
    }  # fmt: skip


def test_without_predictions_nothing_is_written(tmp_path: Path) -> None:
    assert write_predictions([], [Tables(tmp_path, tmp_path / "m", 1.0, None, [])]) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["predictions.csv", "predictions.json", "predictions.html"])
def test_tables_of_somebody_else_are_not_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("id,label\n1,cat\n")
    with pytest.raises(UsageError, match=f"{name}: is another kind of file"):
        Tables(tmp_path, tmp_path / "m", 1.0, None, [])


def test_pictures_of_somebody_else_are_not_drawn_over(
    predictions: list[Prediction], tmp_path: Path
) -> None:
    theirs, empty = tmp_path / "out" / "masks" / "sub" / "0.png.png", tmp_path / "out/masks/empty"
    empty.mkdir(parents=True)
    theirs.parent.mkdir()
    Image.new("L", (6, 4), 255).save(theirs)
    before = theirs.read_bytes()
    for _ in range(2):
        out, root = tmp_path / "out", tmp_path / "in"
        rows = write_predictions(
            predictions, [Drawings(out, root, "mask", mask), Tables(out, root, 1.0, 2.0, [])]
        )
        assert rows[0]["mask"] == "masks/sub/1.png.png"
        assert "is another kind of file" in rows[1]["error"]
        assert theirs.read_bytes() == before
        assert empty.is_dir()
