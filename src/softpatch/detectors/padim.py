"""PaDiM (Defard et al. 2020): one Gaussian per grid position."""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor

from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import ScratchSpace, chunks
from softpatch.detectors.base import NORMAL_SHARE, CommonOptions, Detector
from softpatch.detectors.estimate import FitCost, seconds
from softpatch.errors import UsageError
from softpatch.noise.gaussian import RIDGE
from softpatch.storage.model_file import LARGEST_NUMBER

TRIED = 4  # positions that tell what a fit will take


class PaDiM(Detector):
    """PaDiM: Mahalanobis distance to the position's Gaussian, on randomly chosen dimensions.

    Args:
        dimensions: how many of the concatenated channels are kept; all, if there are fewer. None
            takes 550 for ``wide_resnet50_2`` and 100 otherwise, as the paper does.
        options: see ``CommonOptions``; the embedding is ``concat`` unless given.
    """

    method: ClassVar[str] = "padim"

    def __init__(self, *, dimensions: int | None = None, **options: Unpack[CommonOptions]) -> None:
        if options.get("embedding") is None:
            options["embedding"] = "concat"
        super().__init__(**options)
        if self.features.tile is not None:
            raise UsageError(
                "padim knows each position by itself and takes no tiles; use softpatch"
            )
        if dimensions is None:
            dimensions = 550 if self.features.backbone == "wide_resnet50_2" else 100
        if dimensions < 1:
            raise UsageError(f"dimensions must be at least 1, got {dimensions}")
        self.dimensions = dimensions
        self.chosen_: Tensor  # (d,) int64 channels
        self.mean_: Tensor  # (P, d)
        self.whitening_: Tensor  # (P, d, d): inverse Cholesky factor of the covariance

    def _fit(
        self, patches: Tensor, image_index: Tensor, workspace: ScratchSpace, progress: Progress
    ) -> None:
        del image_index, workspace  # no tiles; nothing of it is as large as the patches
        available = patches.shape[-1]
        generator = torch.Generator().manual_seed(self.seed)
        chosen = torch.randperm(available, generator=generator)[: self.dimensions]
        self.chosen_ = chosen.sort().values.to(patches.device)
        images, positions, _ = patches.shape
        d = len(self.chosen_)
        self.mean_ = torch.empty(positions, d, device=patches.device)
        self.whitening_ = torch.empty(positions, d, d, device=patches.device)
        identity = torch.eye(d, dtype=torch.float64, device=patches.device)
        for chunk in chunks(positions, bytes_per_item=8 * d * (2 * images + 3 * d)):
            here = patches[:, chunk][..., self.chosen_].transpose(0, 1).double()  # (p, N, d)
            mean = here.mean(dim=1, keepdim=True)
            centred = here - mean
            covariance = centred.transpose(1, 2) @ centred / (images - 1) + RIDGE * identity
            factor = torch.linalg.cholesky(covariance)
            inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
            self.mean_[chunk] = mean.squeeze(1).float()
            self.whitening_[chunk] = inverse.float()
            progress("gaussians", chunk.stop, positions)
        sample = torch.linspace(0, images - 1, min(images, 32)).long().to(patches.device)
        scores = self._score(patches[sample]).flatten()
        self.normal_limit_ = float(scores.sort().values[int(NORMAL_SHARE * (len(scores) - 1))])

    def _foresee(self, sample: Tensor, images: int) -> FitCost:
        positions, channels = sample.shape[1:]
        few = torch.rand(images, min(positions, TRIED), channels, device=sample.device)
        trial = copy(self)
        image_index = torch.arange(images, device=sample.device)
        took = seconds(lambda: trial._fit(few, image_index, ScratchSpace(), silent))
        d = min(self.dimensions, channels)
        return FitCost(
            seconds={"gaussians": took / few.shape[1] * positions},
            arrays=[4 * positions * d * d],
            model=4 * positions * d * (d + 1),
        )

    def _score(self, patches: Tensor) -> Tensor:
        by_position = patches[..., self.chosen_].transpose(0, 1)  # (B, P, D) -> (P, B, d)
        difference = by_position - self.mean_.unsqueeze(1)
        white = difference @ self.whitening_.transpose(1, 2)  # (P, B, d) x (P, d, d)
        distances: Tensor = torch.linalg.vector_norm(white, dim=2)  # (P, B)
        return distances.T.contiguous()

    def _parameters(self) -> dict[str, Any]:
        return {"dimensions": self.dimensions}

    def _state(self) -> dict[str, Tensor]:
        return {"chosen": self.chosen_, "mean": self.mean_, "whitening": self.whitening_}

    def _restore(self, state: dict[str, Tensor]) -> None:
        chosen, mean, whitening = state["chosen"], state["mean"], state["whitening"]
        if [chosen.dtype, mean.dtype, whitening.dtype] != [torch.int64] + [torch.float32] * 2:
            raise ValueError("channels, means or covariances are of another type")
        positions, d = self._positions(), len(chosen)
        if mean.shape != (positions, d) or whitening.shape != (positions, d, d):
            raise ValueError("means and covariances do not fit the patch grid")
        if max(mean.abs().max(), whitening.abs().max()) > LARGEST_NUMBER:
            raise ValueError("means or covariances hold numbers no patch has")
        if d == 0 or chosen.min() < 0 or chosen.max() >= self._get_extractor().dimension:
            raise ValueError("chosen channels do not exist")
        self.chosen_, self.mean_, self.whitening_ = chosen, mean, whitening

    def _positions(self) -> int:
        """P, patches of a picture within the region of interest."""
        extractor = self._get_extractor()
        if self.roi is None:
            return extractor.positions
        layout = extractor.preprocessing.layout(*self.roi.mask.shape)
        return int(self.roi.inside(layout, extractor.grid).sum())
