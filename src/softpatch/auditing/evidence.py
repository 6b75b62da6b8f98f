"""How unlike the others each training picture is, and where."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from softpatch.auditing.groups import groups_of
from softpatch.compute.progress import Progress
from softpatch.detectors.embedder import Embed
from softpatch.detectors.softpatch import SoftPatch
from softpatch.images.image_source import ImageSource
from softpatch.images.roi import RegionOfInterest
from softpatch.images.sources import OnUnreadable
from softpatch.noise.suspicion import image_suspicion
from softpatch.predictions.anomaly_map import tiled_anomaly_map
from softpatch.runtime.tiling import TileLayout


@dataclass(frozen=True)
class Evidence:
    """What speaks against the pictures.

    Attributes:
        names: of the readable pictures, in order.
        suspicion: ``(N,)`` float64, above 0; larger is more suspicious.
        maps: for each picture ``(h, w)`` float32 outlier scores on its grid of patches; pictures
            in tiles have larger grids than others.
        sizes: (height, width) of each picture in pixels.
        groups: of each picture the number of those that show one kind of thing, or None.
        boxes: (left, top, right, bottom) of the part its map covers, in pixels of the picture.
        discriminator: what made the scores, such as ``lof``, or ``held-out``.
        why: that in words.
    """

    names: list[str]
    suspicion: npt.NDArray[np.float64]
    maps: list[npt.NDArray[np.float32]]
    groups: list[int | None]
    sizes: list[tuple[int, int]]
    boxes: list[tuple[float, float, float, float]]
    discriminator: str
    why: str

    def of(self, names: Container[str]) -> Evidence:
        """The part of it that is about these pictures."""
        kept = [at for at, name in enumerate(self.names) if name in names]
        return replace(
            self,
            names=[self.names[at] for at in kept],
            suspicion=self.suspicion[kept],
            maps=[self.maps[at] for at in kept],
            groups=[self.groups[at] for at in kept],
            sizes=[self.sizes[at] for at in kept],
            boxes=[self.boxes[at] for at in kept],
        )


def gather(
    detector: SoftPatch,
    sources: Sequence[ImageSource],
    embed: Embed,
    on_unreadable: OnUnreadable,
    progress: Progress,
) -> Evidence:
    """Compare the images by a detector's features and discriminator.

    Raises:
        DatasetError: fewer than two readable images.
    """
    found = detector.outlier_scores(
        sources, embed=embed, on_unreadable=on_unreadable, progress=progress
    )
    of_image = [found.outlier[found.image_index == at] for at in range(len(found.names))]
    suspicion = image_suspicion(found.outlier, found.image_index)
    pairs = zip(found.layouts, of_image, strict=True)
    return Evidence(
        names=found.names,
        suspicion=suspicion.double().cpu().numpy(),
        maps=[_map(detector.roi, found.grid, layout, scores) for layout, scores in pairs],
        groups=groups_of(found.oddest, len(found.names)),
        sizes=[(layout.rows.side, layout.columns.side) for layout in found.layouts],
        boxes=[layout.box for layout in found.layouts],
        discriminator=found.name,
        why=found.words,
    )


def _map(
    region: RegionOfInterest | None, grid: tuple[int, int], layout: TileLayout, scores: Tensor
) -> npt.NDArray[np.float32]:
    """The outlier scores of a picture's patches in their places; the least outside the region."""
    canvas = scores.new_full((len(layout.tiles), grid[0] * grid[1]), float(scores.min()))
    inside = ... if region is None else region.inside(layout, grid)
    canvas[inside] = scores.reshape(canvas[inside].shape)
    views = canvas.view(-1, *grid)
    if len(views) == 1:
        heat = views[0]
    else:
        blended = tiled_anomaly_map(views, layout, sigma=0)
        axes = zip((layout.rows, layout.columns), grid, strict=True)
        size = [round(axis.seen / axis.crop * patches) for axis, patches in axes]
        heat = F.interpolate(blended[None, None], size=size, mode="area")[0, 0]
    return np.asarray(heat.float().cpu().numpy())
