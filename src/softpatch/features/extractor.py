"""Pictures -> patch vectors: preprocessing, backbone and patch embedding behind one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from softpatch.errors import UsageError
from softpatch.features.backbones import OFFLINE_BACKBONE, Backbone
from softpatch.features.folding import folded
from softpatch.features.patches import Embedding, PatchEmbedding
from softpatch.preprocessing import Preprocessing

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class FeatureConfig:
    """Everything that decides what a patch vector is.

    Attributes:
        backbone: see ``Backbone``.
        layers: timm feature names; None lets the backbone choose.
        weights: a local checkpoint, ``"random"``, or None for the published weights.
        embedding: see ``PatchEmbedding``.
        dimension: length of a patch vector (embeddings ``neighbourhood`` and ``rooted`` only).
        resize, crop, tile: (height, width) in pixels, see ``Preprocessing``.
        precision: ``fp32``, or ``bf16``: the network computes in 8 significant bits; all that
            follows is float32. Twice as fast where the processor has AVX-512 or better, an eighth
            of the speed where it has not.
    """

    backbone: str = OFFLINE_BACKBONE
    layers: tuple[str, ...] | None = None
    weights: str | None = None
    embedding: Embedding = "neighbourhood"
    dimension: int = 1024
    resize: tuple[int, int] = (256, 256)
    crop: tuple[int, int] = (224, 224)
    tile: tuple[int, int] | None = None
    precision: Precision = "fp32"


PRESETS = MappingProxyType(
    {
        # Not cropped: the paper's 256 -> 224 never sees the outer eighth, where defects are, too.
        "edge": FeatureConfig(embedding="rooted", resize=(224, 224)),
        "paper": FeatureConfig(backbone="wide_resnet50_2", layers=("layer2", "layer3")),
        "dino": FeatureConfig(
            backbone="vit_small_patch14_reg4_dinov2", resize=(448, 448), crop=(448, 448)
        ),
    }
)


def configure(preset: str, **changes: Any) -> FeatureConfig:
    """A preset with every change that is not None applied.

    Sizes may be one number (a square) or (height, width). Another backbone than the preset's
    drops the preset's layers, which the new one would not have.
    """
    if preset not in PRESETS:
        raise UsageError(f"no preset is called {preset!r}; there are {', '.join(PRESETS)}")
    settings = dict(vars(PRESETS[preset]))
    changes = {key: value for key, value in changes.items() if value is not None}
    if changes.get("backbone", settings["backbone"]) != settings["backbone"]:
        settings["layers"] = None
    settings.update(changes)
    if settings["layers"] is not None:
        settings["layers"] = tuple(settings["layers"])
    settings["resize"], settings["crop"] = _pair(settings["resize"]), _pair(settings["crop"])
    if settings["tile"] is not None:
        settings["tile"] = _pair(settings["tile"])
    if "resize" in changes and "crop" not in changes:
        settings["crop"] = settings["resize"]
    return FeatureConfig(**settings)


class PatchExtractor:
    """A batch of prepared pictures -> their patch vectors.

    Attributes:
        preprocessing: how a picture becomes network input.
        backbone: the frozen network.
        grid: (h, w) of the patch grid.
        dimension: D of a patch vector.
    """

    def __init__(self, config: FeatureConfig, device: torch.device) -> None:
        """Load the backbone.

        Raises:
            BackboneError: no such backbone, or its weights cannot be had.
            UsageError: layers, sizes or embedding that do not fit it.
        """
        if config.precision not in get_args(Precision):
            raise UsageError(f"precision must be fp32 or bf16, got {config.precision!r}")
        self.config = config
        self.device = device
        self.backbone = Backbone(config.backbone, config.layers, config.weights)
        self.preprocessing = Preprocessing(
            config.resize, config.crop, self.backbone.mean, self.backbone.std, config.tile
        )
        maps = self._probe(config.crop)
        self.embedding = PatchEmbedding(
            [layer.shape[1] for layer in maps], config.embedding, config.dimension
        )
        self.grid = (int(maps[0].shape[2]), int(maps[0].shape[3]))
        self.dimension = self.embedding.dimension
        noise = torch.randn(1, 3, *config.crop, generator=torch.Generator().manual_seed(0))
        self.backbone.network = folded(self.backbone.network, noise)
        self.dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        self.backbone.to(device, self.dtype)
        self.embedding.to(device)

    @property
    def positions(self) -> int:
        """P, patches of a picture."""
        return self.grid[0] * self.grid[1]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """``(B, 3, *crop)`` normalised -> ``(B, h, w, D)`` float32 on ``device``."""
        patches: Tensor = self.embedding(self.maps(images))
        return patches

    def maps(self, images: Tensor) -> list[Tensor]:
        """What the network makes of them: one ``(B, C, h, w)`` float32 map per layer."""
        maps = self.backbone(images.to(self.device, self.dtype))
        # In one layout, on which the last bits of what follows depend.
        return [layer.float().contiguous(memory_format=torch.channels_last) for layer in maps]

    @torch.inference_mode()
    def _probe(self, crop: Sequence[int]) -> list[Tensor]:
        try:
            maps: list[Tensor] = self.backbone(torch.zeros(1, 3, *crop))
        except (RuntimeError, AssertionError) as error:
            raise UsageError(
                f"{self.config.backbone} does not take pictures of {crop[0]}x{crop[1]} ({error})"
            ) from error
        return maps


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
