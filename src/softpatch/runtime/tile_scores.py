"""Around the graph of a model with tiles: cut an image, score its tiles, make one map of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .engine import Run
from .tiling import Axis, TileLayout

TOGETHER = 4  # tiles that are scored at a time: memory does not grow with the image
BLUR_SIGMA = 4.0  # pixels of the map
TRUNCATE = 4.0  # the Gaussian is cut off at this many sigmas


def score_tiles(
    run: Run, image: npt.NDArray[np.uint8], layout: TileLayout
) -> tuple[float, npt.NDArray[np.float32]]:
    """Score an ``(H, W, 3)`` image; ``run`` gives ``score`` and ``patches`` ``(B, h, w)`` of tiles.

    Returns:
        score and ``(layout.rows.seen, layout.columns.seen)`` map.
    """
    tiles = [image[rows, columns] for rows, columns in layout.tiles]
    parts = [
        run(np.stack(tiles[start : start + TOGETHER])) for start in range(0, len(tiles), TOGETHER)
    ]
    patches = np.concatenate([part["patches"] for part in parts])
    worst = patches.max(axis=(1, 2)).argmax()  # its tile speaks for the image
    score = float(np.concatenate([part["score"] for part in parts])[worst])

    h, w = patches.shape[1:]
    down, across = layout.shape
    grid = patches.reshape(down, across, h, w).transpose(0, 2, 1, 3).reshape(down * h, across * w)
    rows, columns = blurred_upsampling(layout.rows, h), blurred_upsampling(layout.columns, w)
    return score, rows @ grid @ columns.T


@lru_cache(maxsize=4)  # images of a line have the same size
def blurred_upsampling(axis: Axis, length: int) -> npt.NDArray[np.float32]:
    """``(axis.seen, tiles * length)``: a column of patches of all tiles -> its pixels.

    Upsampled bilinearly, blended where tiles overlap, the more of a tile the farther from its
    border, and blurred. All that is linear and acts on rows and columns alike. Not shared with
    ``softpatch.predictions.anomaly_map``, which does it in torch: the last bits of float64 differ.
    """
    begin = np.array(axis.starts) * axis.scale
    exact = float(begin[-1]) + axis.crop  # ``seen`` is rounded
    pixel = (np.arange(axis.seen) + 0.5) * (exact / axis.seen)  # centres
    within = pixel[:, None] - begin  # (seen, tiles) position in each tile's crop
    weight = np.minimum(within, axis.crop - within).clip(min=0)
    weight /= weight.sum(axis=1, keepdims=True)
    patch = (within * (length / axis.crop) - 0.5).clip(0, length - 1)
    near = (1 - np.abs(patch[:, :, None] - np.arange(length))).clip(min=0)
    sharp = (weight[:, :, None] * near).reshape(axis.seen, -1)

    radius = int(TRUNCATE * BLUR_SIGMA + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / BLUR_SIGMA) ** 2)
    blurred = np.zeros(sharp.shape)
    for offset, share in zip(offsets, kernel / kernel.sum(), strict=True):
        # Mirrored at both ends, edge pixel included, as often as it takes.
        source = (np.arange(axis.seen) + offset) % (2 * axis.seen)
        blurred += share * sharp[np.minimum(source, 2 * axis.seen - 1 - source)]
    return blurred.astype(np.float32)
