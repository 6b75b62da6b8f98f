"""The graph of a model with tiles, fed and put together as the runtime does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from softpatch.images.preprocessing import Preprocessing
from softpatch.runtime.engine import Run
from softpatch.runtime.images import Levels
from softpatch.runtime.tile_scores import TOGETHER, score_tiles


def some_tiles(image: Levels, preprocessing: Preprocessing) -> list[Levels]:
    """A few tiles from all over an image; itself without tiles."""
    tiles = preprocessing.layout(*image.shape[:2]).tiles
    return [image[rows, columns] for rows, columns in tiles[:: -(-len(tiles) // TOGETHER)]]


def in_tiles(run: Run, preprocessing: Preprocessing, threshold: float | None) -> Run:
    """``score`` and ``patches`` of tiles -> score, map and, with a threshold, label of images."""

    def whole(images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[Any]]:
        layout = preprocessing.layout(*images.shape[1:3])
        scores, maps = zip(*(score_tiles(run, image, layout) for image in images), strict=True)
        outputs = {"score": np.array(scores, np.float32), "map": np.stack(maps)}
        if threshold is not None:
            outputs["label"] = outputs["score"] > threshold
        return outputs

    return whole
