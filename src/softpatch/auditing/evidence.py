"""How unlike the others each training picture is, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from softpatch.anomaly_map import tiled_anomaly_map
from softpatch.auditing.anywhere import LoosePicture, alignment, loose_pictures, unlikeness
from softpatch.detectors.softpatch import SoftPatch, suspicion
from softpatch.discriminators import DISCRIMINATORS
from softpatch.errors import UsageError
from softpatch.features.extractor import PatchExtractor
from softpatch.images import ImageSource, OnUnreadable, ignore_unreadable
from softpatch.progress import Progress
from softpatch.region import Region
from softpatch.tiling import Layout

RULES = ("auto", "anywhere", *DISCRIMINATORS)
ALIGNED = 0.9  # alignment from which places in different pictures show the same
WORST = 2  # patches whose unlikeness is a picture's suspicion
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
    """The detector whose features, and at every place whose discriminator, the rule uses.

    Raises:
        UsageError: an unknown rule, or options that do not fit.
    """
    if rule not in RULES:
        raise UsageError(f"rule {rule!r} is none of {', '.join(RULES)}")
    return SoftPatch(**options, discriminator=rule if rule in DISCRIMINATORS else "fused")


def gather(
    rule: str,
    detector: SoftPatch,
    sources: Sequence[ImageSource],
    progress: Progress,
    on_unreadable: OnUnreadable,
    *,
    only_at_places: bool = False,
) -> Evidence:
    """Compare the pictures with each other.

    Args:
        rule: one of ``RULES``. ``auto`` takes ``fused`` where the pictures are aligned, so that
            parts in the wrong place count, too, and ``anywhere`` where they are not.
        detector: whose features and discriminator to use, see ``detector_for``; not fitted.
        sources: the pictures.
        progress: told of the steps ``look`` and ``match``, or ``embed`` and ``discriminate``.
        on_unreadable: gets those that cannot be read.
        only_at_places: ``auto`` takes ``fused`` without a look whether they are aligned.

    Raises:
        DatasetError: fewer than two readable pictures.
    """
    if rule in DISCRIMINATORS:
        return _at_places(detector, sources, progress, on_unreadable, "asked for")
    if only_at_places:
        why = "a cluster does not look whether the pictures are aligned"
        return _at_places(detector, sources, progress, on_unreadable, why)
    extractor = PatchExtractor(detector.features, detector.device)
    loose = loose_pictures(extractor, detector.roi, sources, on_unreadable, progress)
    if rule == "anywhere":
        return _anywhere(detector, loose, progress, "asked for")
    share = alignment(loose)
    chosen = f"{share:.0%} of what looks alike is at the same place"
    if share < ALIGNED:
        return _anywhere(detector, loose, progress, f"chosen: only {chosen}")
    del loose
    detector.share_extractor(extractor)
    return _at_places(detector, sources, progress, ignore_unreadable, f"chosen: {chosen}")


def _at_places(
    detector: SoftPatch,
    sources: Sequence[ImageSource],
    progress: Progress,
    on_unreadable: OnUnreadable,
    choice: str,
) -> Evidence:
    """What the detector's discriminator says, position by position."""
    found = detector.discriminate(sources, on_unreadable=on_unreadable, progress=progress)
    of_picture = [found.outlier[found.owners == at] for at in range(len(found.names))]
    return _evidence(
        found.names,
        suspicion(found.outlier, found.owners),
        [
            _map(detector.roi, found.grid, layout, scores)
            for layout, scores in zip(found.layouts, of_picture, strict=True)
        ],
        found.layouts,
        detector.strategy.discriminator,
        choice,
    )


def _anywhere(
    detector: SoftPatch, pictures: Sequence[LoosePicture], progress: Progress, choice: str
) -> Evidence:
    """What is unlike the other pictures, wherever in them one looks."""
    found = unlikeness(pictures, detector.seed, progress)
    worst = [scores.topk(min(WORST, len(scores))).values.mean() for scores in found]
    return _evidence(
        [picture.name for picture in pictures],
        torch.stack(worst),
        [
            _map(detector.roi, picture.grid, picture.layout, scores)
            for picture, scores in zip(pictures, found, strict=True)
        ],
        [picture.layout for picture in pictures],
        "anywhere",
        choice,
    )


def _evidence(
    names: list[str],
    suspicion: Tensor,
    maps: list[npt.NDArray[np.float32]],
    layouts: Sequence[Layout],
    rule: str,
    choice: str,
) -> Evidence:
    return Evidence(
        names=names,
        suspicion=suspicion.double().cpu().numpy(),
        maps=maps,
        sizes=[(layout.rows.side, layout.columns.side) for layout in layouts],
        boxes=[layout.box for layout in layouts],
        rule=rule,
        why=f"{WHY[rule]} ({choice})",
    )


def _map(
    region: Region | None, grid: tuple[int, int], layout: Layout, scores: Tensor
) -> npt.NDArray[np.float32]:
    """The outlier scores of a picture's patches in their places; the least outside the region."""
    canvas = scores.new_full((len(layout.views), grid[0] * grid[1]), float(scores.min()))
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
    return np.asarray(heat.to(torch.float32).cpu().numpy())
