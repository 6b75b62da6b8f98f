"""What a runtime does around the graph of a model with tiles: cut, and make one map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from softpatch.export.formats import Run
from softpatch.export.quantisation import Levels
from softpatch.images.preprocessing import Preprocessing
from softpatch.predictions.anomaly_map import tiled_anomaly_map

TOGETHER = 4  # tiles that the graph is given at a time, whatever the picture's size


def some_tiles(picture: Levels, preprocessing: Preprocessing) -> list[Levels]:
    """A few tiles from all over a picture; itself without tiles."""
    views = preprocessing.layout(*picture.shape[:2]).views
    return [picture[rows, columns] for rows, columns in views[:: -(-len(views) // TOGETHER)]]


def in_tiles(run: Run, preprocessing: Preprocessing, threshold: float | None) -> Run:
    """The graph of tiles as one of whole pictures.

    Args:
        run: ``score`` and ``patches`` of tiles.
        preprocessing: of the model.
        threshold: of the labels; None for none.
    """

    def whole(images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[Any]]:
        found = [_whole(run, picture, preprocessing) for picture in images]
        scores, maps = zip(*found, strict=True)
        outputs = {"score": np.stack(scores), "map": np.stack(maps)}
        if threshold is not None:
            outputs["label"] = outputs["score"] > threshold
        return outputs

    return whole


def _whole(
    run: Run, picture: Levels, preprocessing: Preprocessing
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Score and map of a picture."""
    layout = preprocessing.layout(*picture.shape[:2])
    tiles = [picture[rows, columns] for rows, columns in layout.views]
    parts = [
        run(np.stack(tiles[start : start + TOGETHER])) for start in range(0, len(tiles), TOGETHER)
    ]
    scores = np.concatenate([part["score"] for part in parts])
    patches = np.concatenate([part["patches"] for part in parts])
    worst = patches.max(axis=(1, 2)).argmax()  # its tile speaks for the picture
    return scores[worst], tiled_anomaly_map(torch.from_numpy(patches), layout).numpy()
