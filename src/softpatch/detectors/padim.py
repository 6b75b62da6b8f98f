"""PaDiM (Defard et al. 2020): one Gaussian per grid position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self, Unpack

import torch
from torch import Tensor

from softpatch.compute.scratch import ScratchSpace, chunks
from softpatch.detectors.base import Detector
from softpatch.detectors.calibration import NORMAL_SHARE, Calibration
from softpatch.detectors.estimate import FitCost, seconds
from softpatch.detectors.options import CommonOptions
from softpatch.detectors.patch_table import LocalPatches, PatchTable
from softpatch.detectors.run import Run
from softpatch.errors import UsageError
from softpatch.noise.gaussian import RIDGE
from softpatch.ranges.table import check_all
from softpatch.storage.model_file import LARGEST_NUMBER

PROBE_POSITIONS = 4  # that tell what a fit will take
NORMAL_IMAGES = 32  # that the normal limit is estimated from


@dataclass(frozen=True)
class PositionGaussians:
    """What a fit of PaDiM leaves behind.

    Attributes:
        image_names: of the training images, in order.
        calibration: the normal limit, and a threshold if one was set.
        chosen: ``(d,)`` int64 channels.
        mean: ``(P, d)``.
        whitening: ``(P, d, d)``: inverse Cholesky factors of the covariances.
    """

    image_names: list[str]
    calibration: Calibration
    chosen: Tensor
    mean: Tensor
    whitening: Tensor

    def score(self, patches: Tensor) -> Tensor:
        """``(B, P, D)`` -> ``(B, P)`` Mahalanobis distances."""
        return mahalanobis(patches[..., self.chosen], self.mean, self.whitening)

    def image_scores(self, patches: Tensor, scores: Tensor) -> Tensor:
        """``(B, P)`` scores -> ``(B,)``: the worst patch decides, whatever the patches are."""
        del patches
        return scores.amax(dim=1)

    def tensors(self) -> dict[str, Tensor]:
        """What a model file holds of it."""
        return {"chosen": self.chosen, "mean": self.mean, "whitening": self.whitening}

    @classmethod
    def restored(
        cls, header: dict[str, Any], tensors: dict[str, Tensor], positions: int, dimension: int
    ) -> Self:
        """What a model file, which may hold anything, has of them.

        Raises:
            KeyError, TypeError, ValueError: it has none, or not for P positions of D numbers.
        """
        chosen, mean, whitening = tensors["chosen"], tensors["mean"], tensors["whitening"]
        if [chosen.dtype, mean.dtype, whitening.dtype] != [torch.int64] + [torch.float32] * 2:
            raise ValueError("channels, means or covariances are of another type")
        d = len(chosen)
        if mean.shape != (positions, d) or whitening.shape != (positions, d, d):
            raise ValueError("means and covariances do not fit the patch grid")
        if max(mean.abs().max(), whitening.abs().max()) > LARGEST_NUMBER:
            raise ValueError("means or covariances hold numbers no patch has")
        if d == 0 or chosen.min() < 0 or chosen.max() >= dimension:
            raise ValueError("chosen channels do not exist")
        names = [str(name) for name in header["images"]]
        return cls(names, Calibration.restored(header, tensors), chosen, mean, whitening)


class PaDiM(Detector):
    """PaDiM: Mahalanobis distance to the position's Gaussian, on randomly chosen dimensions.

    Args:
        dimensions: how many of the concatenated channels are kept; all, if there are fewer. None
            takes 550 for ``wide_resnet50_2`` and 100 otherwise, as the paper does.
        options: see ``CommonOptions``; the embedding is ``concat`` unless given.
    """

    method: ClassVar[str] = "padim"
    default_embedding: ClassVar[str | None] = "concat"

    def __init__(self, *, dimensions: int | None = None, **options: Unpack[CommonOptions]) -> None:
        super().__init__(**options)
        if self.features.tile is not None:
            raise UsageError(
                "padim knows each position by itself and takes no tiles; use softpatch"
            )
        check_all(dimensions=dimensions)
        self.dimensions = dimensions

    @property
    def kept_dimensions(self) -> int:
        """``dimensions``, or what the paper takes for the backbone."""
        if self.dimensions is not None:
            return self.dimensions
        return 550 if self.features.backbone == "wide_resnet50_2" else 100

    def _learn(self, table: PatchTable, run: Run) -> PositionGaussians:
        patches = table.at_hand(torch.arange(table.shape[0]))[0].patches  # (N, P, D)
        images, positions, available = patches.shape
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randperm(available, generator=generator)[: self.kept_dimensions]
        chosen = drawn.sort().values.to(patches.device)
        d = len(chosen)
        means = torch.empty(positions, d, device=patches.device)
        whitening = torch.empty(positions, d, d, device=patches.device)
        identity = torch.eye(d, dtype=torch.float64, device=patches.device)
        for chunk in chunks(positions, bytes_per_item=8 * d * (2 * images + 3 * d)):
            here = patches[:, chunk][..., chosen].transpose(0, 1).double()  # (p, N, d)
            mean = here.mean(dim=1, keepdim=True)
            centred = here - mean
            covariance = centred.transpose(1, 2) @ centred / (images - 1) + RIDGE * identity
            factor = torch.linalg.cholesky(covariance)
            inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
            means[chunk] = mean.squeeze(1).float()
            whitening[chunk] = inverse.float()
            run.progress("gaussians", chunk.stop, positions)
        sample = torch.linspace(0, images - 1, min(images, NORMAL_IMAGES)).long()
        some = patches[sample.to(patches.device)][..., chosen]
        scores = mahalanobis(some, means, whitening).flatten()
        limit = float(scores.sort().values[int(NORMAL_SHARE * (len(scores) - 1))])
        return PositionGaussians(table.names, Calibration(limit), chosen, means, whitening)

    def _cost(self, sample: LocalPatches, images: int) -> FitCost:
        positions, channels = sample.shape[1:]
        tried = min(positions, PROBE_POSITIONS)
        few = torch.rand(images, tried, channels, device=sample.patches.device)
        index = torch.arange(images, device=few.device)
        trial = LocalPatches(few, index, [], [], [], (1, tried))
        took = seconds(lambda: self._learn(trial, Run(ScratchSpace())))
        d = min(self.kept_dimensions, channels)
        return FitCost(
            seconds={"gaussians": took / tried * positions},
            arrays=[4 * positions * d * d],
            model=4 * positions * d * (d + 1),
        )

    def _restored(self, header: dict[str, Any], tensors: dict[str, Tensor]) -> PositionGaussians:
        extractor = self.extractor
        positions = extractor.positions
        if self.roi is not None:
            layout = extractor.preprocessing.layout(*self.roi.mask.shape)
            positions = int(self.roi.inside(layout, extractor.grid).sum())
        return PositionGaussians.restored(header, tensors, positions, extractor.dimension)

    def _parameters(self) -> dict[str, Any]:
        return {"dimensions": self.kept_dimensions}


def mahalanobis(patches: Tensor, mean: Tensor, whitening: Tensor) -> Tensor:
    """``(B, P, d)`` -> ``(B, P)`` distances to ``(P, d)`` means, whitened by ``(P, d, d)``."""
    difference = patches.transpose(0, 1) - mean.unsqueeze(1)  # (P, B, d)
    white = difference @ whitening.transpose(1, 2)  # (P, B, d) x (P, d, d)
    distances: Tensor = torch.linalg.vector_norm(white, dim=2)  # (P, B)
    return distances.T.contiguous()
