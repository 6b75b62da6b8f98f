"""The route of the authors' released SoftPatch code, restated plainly, as the peer to beat.

Same backbone, inputs and bank size as ours; every step the way that code takes it: neighbourhoods
unfolded and pooled, outlier scores and coreset on a random projection to 128 numbers, a
scikit-learn LOF fit per position, one pass over all patches for every pick, flat search in faiss.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.neighbors import LocalOutlierFactor
from torch import Tensor

from softpatch.features import FeatureConfig
from softpatch.features.backbones import Backbone
from softpatch.images import read_image
from softpatch.preprocessing import Preprocessing

PROJECTED = 128
BATCH = 8


class ReleasedSoftPatch:
    """Fit and predict; ``seconds`` holds the time of every step of the last fit."""

    def __init__(self, config: FeatureConfig, k: int = 6, tau: float = 0.15, ratio: float = 0.1):
        self.backbone = Backbone(config.backbone, config.layers, config.weights)
        self.preprocessing = Preprocessing(
            config.resize, config.crop, self.backbone.mean, self.backbone.std
        )
        self.k, self.tau, self.ratio = k, tau, ratio
        self.seconds: dict[str, float] = {}

    def fit(self, paths: list[Path]) -> None:
        started = time.perf_counter()
        batches = [self._embed(images) for images in self._batches(paths)]
        self.grid = batches[0].shape[1]  # positions
        features = torch.cat(batches).flatten(0, 1)  # (n, 1024)
        self.seconds["embed"] = time.perf_counter() - started

        torch.manual_seed(0)
        started = time.perf_counter()
        weights = self.outlier_scores(project(features), self.grid)
        self.seconds["discriminate"] = time.perf_counter() - started

        started = time.perf_counter()
        keep = weights <= np.quantile(weights.numpy(), 1 - self.tau)
        picks = one_pick_a_pass(project(features), int(self.ratio * len(features)), keep)
        self.seconds["coreset"] = time.perf_counter() - started
        self.weights = weights[picks].numpy()
        self.index = faiss.IndexFlatL2(features.shape[1])
        self.index.add(features[picks].numpy())

    def predict(self, paths: list[Path]) -> list[float]:
        scores = []
        for images in self._batches(paths, batch=1):
            patches = self._embed(images).flatten(0, 1)
            squared, nearest = self.index.search(patches.numpy(), 1)
            scores.append(float((squared[:, 0] * self.weights[nearest[:, 0]]).max()))
        return scores

    def outlier_scores(self, projected: Tensor, positions: int) -> Tensor:
        by_position = projected.view(-1, positions, PROJECTED).transpose(0, 1)  # (P, N, 128)
        scores = torch.empty(by_position.shape[:2])
        for position, vectors in enumerate(by_position):
            lof = LocalOutlierFactor(n_neighbors=self.k, metric="l2").fit(vectors.numpy())
            scores[position] = torch.from_numpy(-lof.negative_outlier_factor_)
        return scores.T.flatten()

    def _batches(self, paths: list[Path], batch: int = BATCH) -> Iterator[Tensor]:
        for start in range(0, len(paths), batch):
            pictures = [self.preprocessing(read_image(path)) for path in paths[start:][:batch]]
            yield torch.stack(pictures)

    @torch.inference_mode()
    def _embed(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> ``(B, P, 1024)`` by unfolding, upsampling and pooling."""
        maps = self.backbone(images)
        h, w = maps[0].shape[-2:]
        pooled = []
        for layer in maps:
            b, c, height, width = layer.shape
            unfolded = F.unfold(layer, kernel_size=3, padding=1).view(b, c * 9, height, width)
            if (height, width) != (h, w):
                unfolded = F.interpolate(
                    unfolded, size=(h, w), mode="bilinear", align_corners=False
                )
            vectors = unfolded.flatten(2).transpose(1, 2).reshape(b * h * w, 1, c * 9)
            pooled.append(F.adaptive_avg_pool1d(vectors, 1024))
        stacked = torch.stack(pooled, dim=1).reshape(len(pooled[0]), 1, -1)
        return F.adaptive_avg_pool1d(stacked, 1024).view(len(images), h * w, 1024)


def project(features: Tensor) -> Tensor:
    """A fresh random linear layer to 128 numbers, as the released code draws it."""
    with torch.inference_mode():
        projected: Tensor = torch.nn.Linear(features.shape[1], PROJECTED, bias=False)(features)
    return projected


def one_pick_a_pass(patches: Tensor, size: int, keep: Tensor) -> Tensor:
    """Greedy k-center, all n distances computed anew for every pick."""
    start = torch.from_numpy(np.random.default_rng(0).choice(len(patches), 10, replace=False))
    norms = patches.square().sum(dim=1)

    def distances(to: Tensor) -> Tensor:
        squared = norms.unsqueeze(1) + norms[to] - 2 * patches @ patches[to].T
        return squared.clamp(min=0).sqrt()

    nearest = distances(start).mean(dim=1) * keep
    picks = []
    for _ in range(size):
        pick = nearest.argmax().unsqueeze(0)
        picks.append(pick)
        nearest = torch.minimum(nearest, distances(pick)[:, 0])
    return torch.cat(picks)
