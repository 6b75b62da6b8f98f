"""anomalib's PatchCore from the package index, driven without its Lightning trainer.

The torch model does all of the work: batches through its feature extractor in training mode, its
own coreset sampler, its own forward for predictions. Trainer, metrics and visualiser would cost
time that says nothing about the method. It has no noise discriminator, so it has less to do.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from anomalib.models.components import KCenterGreedy
from anomalib.models.image.patchcore.torch_model import PatchcoreModel

from benchmarks.pictures import read_batches
from softpatch.features import FeatureConfig
from softpatch.features.backbones import named_backbone
from softpatch.features.offline_weights import timm_name
from softpatch.images.preprocessing import Preprocessing

BATCH = 8  # its default of 32 takes 1.5 times as long an image on 2 cores


class AnomalibPatchCore:
    """The package's defaults, with our backbone's layers and weights in its own extractor."""

    def __init__(self, config: FeatureConfig, ratio: float) -> None:
        backbone = named_backbone(config.backbone, config.layers, config.weights)
        self.preprocessing = Preprocessing(config.resize, config.crop, backbone.mean, backbone.std)
        self.model: Any = PatchcoreModel(
            layers=list(backbone.layers),
            backbone=timm_name(config.backbone),
            pre_trained=False,
        )
        extractor = self.model.feature_extractor.feature_extractor
        extractor.load_state_dict(backbone.network.state_dict())
        self.ratio = ratio

    @torch.inference_mode()
    def fit(self, paths: list[Path]) -> dict[str, float]:
        torch.manual_seed(0)
        started = time.perf_counter()
        self.model.train()
        for images in read_batches(paths, self.preprocessing, BATCH):
            self.model(images)  # keeps the patches
        embedded = time.perf_counter()
        self.patches = sum(len(patches) for patches in self.model.embedding_store)
        self.model.subsample_embedding(self.ratio)
        self.model.eval()
        return {"embed": embedded - started, "coreset": time.perf_counter() - embedded}

    @torch.inference_mode()
    def predict(self, path: Path) -> float:
        (images,) = read_batches([path], self.preprocessing, 1)
        return float(self.model(images).pred_score)

    def describe(self) -> dict[str, Any]:
        bank, dimension = self.model.memory_bank.shape
        # What its sampler projects to follows from the number of patches alone.
        sampler = KCenterGreedy(torch.empty(self.patches, 2), self.ratio)
        return {
            "bank": bank,
            "dimension": dimension,
            "coreset_dimension": int(sampler.model.fit(sampler.embedding).n_components),
            "neighbours": self.model.num_neighbors,
            "dtype": str(self.model.memory_bank.dtype).removeprefix("torch."),
        }
