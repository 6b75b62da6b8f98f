"""The page of pictures that a model has scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from softpatch.compute.progress import Progress, silent
from softpatch.pages.localize import peak_box
from softpatch.pages.review import Card, Reason, as_shares, png_uri, render, thumbnails
from softpatch.runtime.files import digest_if_there, write_atomically
from softpatch.runtime.heatmap import as_layer, colours
from softpatch.runtime.prediction import Prediction
from softpatch.runtime.verdict import tally
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

    With a threshold each has its verdict, by which they can be filtered; good ones have no box.

    Args:
        predictions: of files below the folder.
        normal_limit: the model's ``normal_limit_``, for colours as in heat maps.
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
        calm = prediction.verdict == "good"
        thumb, layer = thumbs.get(prediction.name), None
        if thumb is not None:
            layer = png_uri(as_layer(*colours(heat, prediction, normal_limit)))
        cards.append(
            Card(
                path=path.relative_to(folder).as_posix(),
                rank=rank,
                score=prediction.score,
                reasons=_reasons(prediction),
                region=None if calm else as_shares(region, prediction.size),
                box=as_shares(prediction.box, prediction.size),
                thumb=thumb,
                heat=layer,
                verdict=prediction.verdict,
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
    if prediction.verdict in (None, "good"):
        return []
    words = f"level {prediction.level:.2f}, where 0.5 is the threshold"
    if prediction.rarity is not None:
        words += f"; {prediction.rarity}"
    return [Reason("anomalous" if prediction.anomalous else "look", words)]


def _summary(predictions: Sequence[Prediction]) -> list[str]:
    lines = [f"{len(predictions)} pictures, the most anomalous first."]
    counts = tally(prediction.verdict for prediction in predictions)
    if counts is not None:
        look, threshold = predictions[0].look, predictions[0].threshold
        limits = f"bad is above the threshold, {threshold:.4g}"
        if look is not None and threshold is not None and look < threshold:
            limits += f"; to look at, above {look:.4g}"
        lines.append(f"{counts}: {limits}.")
    return lines
