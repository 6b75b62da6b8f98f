"""How unlike the others each training picture is, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from softpatch.compute.progress import Progress
from softpatch.detectors.softpatch import SoftPatch, suspicion
from softpatch.errors import UsageError
from softpatch.images.roi import RegionOfInterest
from softpatch.images.sources import ImageSource, OnUnreadable
from softpatch.noise.discriminators import DISCRIMINATORS
from softpatch.noise.policy import ALIGNED, AUTO
from softpatch.predictions.anomaly_map import tiled_anomaly_map
from softpatch.runtime.tiling import TileLayout

RULES = (AUTO, *DISCRIMINATORS)
WHY = {
    "anywhere": "distance of a patch to the second most similar other picture, anywhere in it",
    "lof": "how much sparser a patch's surroundings are than its neighbours'",
    "nearest": "distance to the most similar patch of another picture at the same place",
    "gaussian": "distance from the usual at the place, by its own covariance",
    "fused": "far from the other pictures at the place, and in a sparser place than they are",
}


@dataclass(frozen=True)
class Evidence:
    """What speaks against the pictures.

    Attributes:
        names: of the readable pictures, in order.
        suspicion: ``(N,)`` float64, above 0; larger is more suspicious.
        maps: for each picture ``(h, w)`` float32 outlier scores on its grid of patches; pictures
            in tiles have larger grids than others.
        sizes: (height, width) of each picture in pixels.
        boxes: (left, top, right, bottom) of the part its map covers, in pixels of the picture.
        rule: what made the scores, such as ``lof``.
        why: that rule in words, and why it was chosen.
    """

    names: list[str]
    suspicion: npt.NDArray[np.float64]
    maps: list[npt.NDArray[np.float32]]
    sizes: list[tuple[int, int]]
    boxes: list[tuple[float, float, float, float]]
    rule: str
    why: str


def detector_for(rule: str, options: dict[str, Any]) -> SoftPatch:
    """The detector whose features and discriminator the rule uses.

    Raises:
        UsageError: an unknown rule, or options that do not fit.
    """
    if rule not in RULES:
        raise UsageError(f"rule {rule!r} is none of {', '.join(RULES)}")
    return SoftPatch(**options, discriminator=rule)


def gather(
    detector: SoftPatch,
    sources: Sequence[ImageSource],
    progress: Progress,
    on_unreadable: OnUnreadable,
) -> Evidence:
    """Compare the pictures with each other.

    Args:
        detector: whose features and discriminator to use, see ``detector_for``; not fitted.
        sources: the pictures.
        progress: told of the steps ``embed`` and ``discriminate``.
        on_unreadable: gets those that cannot be read.

    Raises:
        DatasetError: fewer than two readable pictures.
    """
    found = detector.discriminate(sources, on_unreadable=on_unreadable, progress=progress)
    rule = detector.strategy.discriminator
    of_picture = [found.outlier[found.image_index == at] for at in range(len(found.names))]
    return Evidence(
        names=found.names,
        suspicion=suspicion(found.outlier, found.image_index).double().cpu().numpy(),
        maps=[
            _map(detector.roi, found.grid, layout, scores)
            for layout, scores in zip(found.layouts, of_picture, strict=True)
        ],
        sizes=[(layout.rows.side, layout.columns.side) for layout in found.layouts],
        boxes=[layout.box for layout in found.layouts],
        rule=rule,
        why=f"{WHY[rule]} ({_choice(detector)})",
    )


def _choice(detector: SoftPatch) -> str:
    """Why the rule is what it is."""
    if detector.discriminator != AUTO:
        return "asked for"
    if detector.alignment_ is None:
        return "chosen: pictures in tiles are not compared at the same place"
    only = "only " if detector.alignment_ < ALIGNED else ""
    return f"chosen: {only}{detector.alignment_:.0%} of what looks alike is at the same place"


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
        size = [
            round(axis.seen / axis.crop * patches)
            for axis, patches in zip((layout.rows, layout.columns), grid, strict=True)
        ]
        heat = F.interpolate(blended[None, None], size=size, mode="area")[0, 0]
    return np.asarray(heat.float().cpu().numpy())
