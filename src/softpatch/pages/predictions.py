"""The page of pictures that a model has scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from softpatch.compute.progress import Progress, silent
from softpatch.pages.localize import peak_box
from softpatch.pages.review import Card, Reason, as_shares, heat_layer, render, thumbnails
from softpatch.runtime.files import digest_if_there, write_atomically
from softpatch.runtime.heatmap import FULL_COLOUR
from softpatch.runtime.prediction import Prediction
from softpatch.runtime.writers import Row, Writer

CELLS = 32  # a side of a reduced map: ten thousand of them take 40 MB


class Page(Writer):
    """``predictions.html``, see ``write_page``."""

    def __init__(self, output: Path, root: Path, normal_limit: float, progress: Progress) -> None:
        self.output, self.root, self.normal_limit = output, root, normal_limit
        self.progress = progress
        self.predictions: list[Prediction] = []

    def add(self, prediction: Prediction, row: Row) -> None:
        """Keep it with a small map."""
        del row
        self.predictions.append(in_small(prediction))

    def finish(self, rows: Sequence[Row]) -> None:
        """Write it."""
        del rows
        write_page(self.predictions, self.normal_limit, self.root, self.output, self.progress)


def in_small(prediction: Prediction) -> Prediction:
    """The prediction with its map reduced to ``CELLS`` x ``CELLS``, the maximum of each cell."""
    heat = torch.from_numpy(prediction.anomaly_map)
    size = (min(CELLS, heat.shape[0]), min(CELLS, heat.shape[1]))
    cells = F.adaptive_max_pool2d(heat[None], size)[0]
    return replace(prediction, anomaly_map=cells.numpy())


def write_page(
    predictions: Sequence[Prediction],
    normal_limit: float,
    folder: Path,
    output: Path,
    progress: Progress = silent,
) -> Path:
    """Write ``predictions.html``, the most anomalous picture first.

    With a threshold only pictures above it have a box, and they can be filtered.

    Args:
        predictions: of files below the folder.
        normal_limit: the model's ``normal_limit_``, where colour begins, as in heat maps.
        folder: of the pictures.
        output: folder to write to.
        progress: called with the step ``draw``.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    ranked = sorted(predictions, key=lambda prediction: -prediction.score)
    thumbs = thumbnails({one.name: one.intensity for one in ranked}, progress)
    cards = []
    for rank, prediction in enumerate(ranked, start=1):
        path, heat = Path(prediction.name), prediction.anomaly_map
        region = peak_box(heat, prediction.box, prediction.size)
        calm = prediction.anomalous is False
        drawn = prediction.name in thumbs
        cards.append(
            Card(
                path=path.relative_to(folder).as_posix(),
                rank=rank,
                score=prediction.score,
                reasons=_reasons(prediction),
                region=None if calm else as_shares(region, prediction.size),
                box=as_shares(prediction.box, prediction.size),
                thumb=thumbs.get(prediction.name),
                heat=heat_layer(heat, normal_limit, FULL_COLOUR * normal_limit) if drawn else None,
                sha256=digest_if_there(path),
            )
        )
    page = render(
        f"Scores of {folder.name or folder}",
        _summary(ranked),
        str(folder.resolve()),
        cards,
    )
    written = output / "predictions.html"
    write_atomically(written, page)
    return written


def _reasons(prediction: Prediction) -> list[Reason]:
    if not prediction.anomalous:
        return []
    return [Reason("anomalous", f"level {prediction.level:.2f}, where 0.5 is the threshold")]


def _summary(predictions: Sequence[Prediction]) -> list[str]:
    lines = [f"{len(predictions)} pictures, the most anomalous first."]
    if predictions and (threshold := predictions[0].threshold) is not None:
        above = sum(bool(prediction.anomalous) for prediction in predictions)
        lines.append(f"{above} anomalous: their score is above the threshold, {threshold:.4g}.")
    return lines
