"""A fitted detector as one graph: 8-bit pictures in, scores and maps out.

Everything ``Detector.predict`` does between reading a picture and the ``Prediction``, in operations
that ONNX and OpenVINO have. Whatever does not depend on the picture is computed when the graph is
made.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from softpatch.detectors import Detector
from softpatch.detectors.bank_options import REWEIGHTING_NEIGHBOURS
from softpatch.detectors.learned_bank import LearnedBank
from softpatch.detectors.padim import PositionGaussians
from softpatch.errors import UsageError
from softpatch.export.onnx_ops import resize
from softpatch.export.search import NearestSearch
from softpatch.images.roi import RegionOfInterest
from softpatch.predictions.anomaly_map import blurred_upsampling, tiled_anomaly_map
from softpatch.runtime.tiling import TileLayout

Precision = Literal["fp32", "fp16", "int8"]


class BankScores(nn.Module):
    """SoftPatch and PatchCore: W(m*) times the distance to the nearest bank vector m*."""

    weights: Tensor

    def __init__(self, learned: LearnedBank) -> None:
        super().__init__()
        self.search = NearestSearch(learned.bank.vectors, learned.bank.floors)
        self.register_buffer("weights", learned.bank.weights)
        self.squared = learned.options.distance == "squared"
        self.reweight = learned.options.reweight and len(learned.bank) > 1
        self.look_alikes = learned.look_alikes

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, P, D)`` -> ``(B, P)`` patch scores and ``(B,)`` image scores."""
        distance, index = self.search(patches.flatten(0, 1))
        scores = (distance.square() if self.squared else distance) * self.weights[index]
        scores = scores.view(patches.shape[:2])
        worst, position = scores.max(dim=1)
        if self.look_alikes is not None:
            worst = worst / self.look_alikes.allowance(patches.mean(dim=1))
        if not self.reweight:
            return scores, worst
        position = torch.arange(position.shape[0]) * scores.shape[1] + position
        patch = patches.flatten(0, 1)[position]
        return scores, self._reweighted(patch, distance[position], index[position], worst)

    def _reweighted(self, patch: Tensor, own: Tensor, nearest: Tensor, worst: Tensor) -> Tensor:
        """``reweighted_scores`` of ``(B, D)`` patches and their nearest vectors."""
        search = self.search
        around = search.neighbours(search.vectors[nearest] + search.centre, REWEIGHTING_NEIGHBOURS)
        difference = (patch - search.centre).unsqueeze(1) - search.vectors[around]
        distances = difference.square().sum(dim=2).sqrt()  # (B, b)
        share = torch.exp(own - torch.logsumexp(distances, dim=1)).clamp(max=1)
        return (1 - share) * worst


class GaussianScores(nn.Module):
    """PaDiM: Mahalanobis distance to the position's Gaussian."""

    chosen: Tensor
    mean: Tensor
    whitening: Tensor

    def __init__(self, learned: PositionGaussians) -> None:
        super().__init__()
        self.register_buffer("chosen", learned.chosen)
        self.register_buffer("mean", learned.mean.clone())
        self.register_buffer("whitening", learned.whitening.mT.clone())

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """The same."""
        difference = patches.index_select(2, self.chosen) - self.mean
        white = difference.transpose(0, 1) @ self.whitening  # (P, B, d) x (P, d, d)
        scores = white.square().sum(dim=2).sqrt().T  # (P, B) -> (B, P)
        return scores, scores.amax(dim=1)


class DetectorGraph(nn.Module):
    """``(B, H, W, 3)`` uint8 pictures of any one size -> scores, labels and maps.

    Outputs: ``score`` ``(B,)`` float32; ``map`` ``(B, h, w)`` float32; and, with a threshold,
    ``label`` ``(B,)`` int64 between them: 1 where the score is above the threshold, else 0.

    For a model with tiles the input is tiles, as all tiles of a large picture at once would take
    unbounded memory; instead of map and label it gives the patch scores, ``patches`` ``(B, h, w)``
    float32, which ``in_tiles`` combines.
    """

    mean: Tensor
    std: Tensor
    down: Tensor
    across: Tensor

    def __init__(
        self, detector: Detector, threshold: float | None, precision: Precision = "fp32"
    ) -> None:
        """Copy a fitted detector's tensors.

        Args:
            detector: fitted; not changed.
            threshold: of the labels; None gives no labels.
            precision: ``fp16`` rounds the weights to 16 bits, to be stored as such; ``int8``
                changes nothing here.

        Raises:
            UsageError: a detector with both tiles and a region, or that computes in bfloat16.
        """
        super().__init__()
        self.tiled = detector.features.tile is not None
        if self.tiled and detector.roi is not None:
            raise UsageError(
                "a model with both --tile and --roi cannot be exported; fit without one of them"
            )
        if detector.features.precision != "fp32":
            raise UsageError(
                f"a model with a {detector.features.precision} backbone cannot be exported; "
                "fit with --precision fp32"
            )
        extractor = detector.extractor
        preprocessing = extractor.preprocessing
        self.precision, self.threshold = precision, threshold
        if self.tiled:
            self.outputs = ["score", "patches"]
        else:
            self.outputs = ["score", "map"] if threshold is None else ["score", "label", "map"]
        self.backbone = deepcopy(extractor.backbone)
        self.embedding = deepcopy(extractor.embedding)
        # The network sees the same part of every picture or tile, whatever its size.
        whole = preprocessing.resize if detector.roi is None else detector.roi.mask.shape
        layout = preprocessing.layout(*whole)
        self.rows, self.columns = (
            (axis.resize, axis.offset, axis.crop) for axis in (layout.rows, layout.columns)
        )
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(3, 1, 1))
        learned = detector.learned_
        if isinstance(learned, PositionGaussians):
            self.patch_scores: nn.Module = GaussianScores(learned)
        elif isinstance(learned, LearnedBank):
            self.patch_scores = BankScores(learned)
        else:
            raise UsageError(f"a {detector.method} model cannot be exported")
        self.grid = extractor.grid
        self.register_buffer("down", blurred_upsampling(layout.rows, self.grid[0]).float())
        self.register_buffer("across", blurred_upsampling(layout.columns, self.grid[1]).T.float())
        self.region = None if detector.roi is None else SeenRegion(detector.roi, layout, self.grid)
        if precision == "fp16":
            for part in (self.backbone, self.embedding, self.patch_scores):
                round_to_halves(part)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        pixels = resize(images.permute(0, 3, 1, 2).float(), self.rows, self.columns)
        maps = self.backbone((pixels / 255 - self.mean) / self.std)
        patches = self.embedding(maps).flatten(1, 2)  # (B, h, w, D) -> (B, P, D)
        if self.region is not None:
            patches = patches.index_select(1, self.region.inside)
        scores, score = self.patch_scores(patches)
        if self.region is not None:
            scores = self.region.spread(scores)
        scores = scores.unflatten(1, self.grid)
        if self.tiled:
            return score, scores
        heat = self.down @ scores @ self.across
        if self.region is not None:
            heat = self.region.within(heat)
        if self.threshold is None:
            return score, heat
        return score, (score > self.threshold).long(), heat


class SeenRegion(nn.Module):
    """The region of interest, which contains the same patches of every picture."""

    inside: Tensor
    place: Tensor
    weight: Tensor

    def __init__(self, roi: RegionOfInterest, layout: TileLayout, grid: tuple[int, int]) -> None:
        super().__init__()
        [mask] = roi.inside(layout, grid)  # (P,) bool
        inside = mask.nonzero().flatten()
        # Index of a position's score among those inside; the index after them is a zero.
        place = torch.full((len(mask),), len(inside))
        place[inside] = torch.arange(len(inside))
        weight = tiled_anomaly_map(mask.float().view(1, *grid), layout)
        weight = weight.where(roi.frame(layout) & (weight > 0), torch.inf)
        self.register_buffer("inside", inside)
        self.register_buffer("place", place)
        self.register_buffer("weight", weight)

    def spread(self, scores: Tensor) -> Tensor:
        """``(B, P inside)`` -> ``(B, P)``, zero outside."""
        return F.pad(scores, (0, 1)).index_select(1, self.place)

    def within(self, heat: Tensor) -> Tensor:
        """``(B, H, W)`` maps -> means over the patches inside alone, zero outside the region."""
        return heat / self.weight


def round_to_halves(part: nn.Module) -> None:
    """Round matrices and kernels to 16 bits in place; vectors (norms) are small and stay."""
    for tensor in (*part.parameters(), *part.buffers()):
        if tensor.is_floating_point() and tensor.ndim > 1:
            tensor.copy_(tensor.half())
    for module in part.modules():
        if isinstance(module, NearestSearch):
            module.encode()
