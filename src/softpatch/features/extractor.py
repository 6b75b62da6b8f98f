"""Images -> patch vectors: preprocessing, backbone and patch embedding behind one call."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from softpatch.errors import UsageError
from softpatch.features.backbones import check_maps, custom_backbone, named_backbone
from softpatch.features.embedding import PatchEmbedding
from softpatch.features.fold_batchnorm import folded
from softpatch.features.presets import FeatureConfig
from softpatch.images.preprocessing import Preprocessing
from softpatch.runtime.intensity import Intensity


class PatchExtractor:
    """A batch of preprocessed images -> their patch vectors.

    Attributes:
        preprocessing: how an image becomes network input.
        backbone: the frozen network.
        own_backbone: the module it is a copy of, where it is one of the user's own.
        grid: (h, w) of the patch grid.
        dimension: D of a patch vector.
    """

    def __init__(
        self, config: FeatureConfig, device: torch.device, backbone: nn.Module | None = None
    ) -> None:
        """Load the backbone, or copy a module of the user's own, see ``custom_backbone``.

        Raises:
            BackboneError: no such backbone, or its weights cannot be had.
            UsageError: layers, sizes or embedding that do not fit it; a ``backbone`` without
                normalisation, or that makes no maps.
        """
        self.device = device
        self.own_backbone = backbone
        if backbone is None:
            self.backbone = named_backbone(config.backbone, config.layers, config.weights)
        elif config.layers or config.weights:
            raise UsageError("layers and weights go with a backbone's name, not with a module")
        else:
            self.backbone = custom_backbone(backbone)
        maps = self._seen_at(config, torch.zeros(1, 3, *config.crop))
        self.embedding = PatchEmbedding(
            [layer.shape[1] for layer in maps], config.embedding, config.dimension
        )
        self.dimension = self.embedding.dimension
        noise = torch.randn(1, 3, *config.crop, generator=torch.Generator().manual_seed(0))
        self.backbone.network = folded(self.backbone.network, noise)
        self.dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        self.backbone.to(device, self.dtype)
        self.embedding.to(device)

    def resized(self, size: tuple[int, int]) -> Self:
        """The same network, shown whole images at another (height, width).

        Raises:
            UsageError: it does not take such images.
        """
        other = copy(self)
        blank = torch.zeros(1, 3, *size, device=self.device, dtype=self.dtype)
        other._seen_at(replace(self.config, resize=size, crop=size), blank)
        return other

    def with_intensity(self, intensity: Intensity) -> Self:
        """The same network, with other values of images of more than 8 bits as black and white."""
        other = copy(self)
        other.config = replace(self.config, intensity=intensity)
        other.preprocessing = replace(self.preprocessing, intensity=intensity)
        return other

    @property
    def positions(self) -> int:
        """P, patches of an image."""
        return self.grid[0] * self.grid[1]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """``(B, 3, *crop)`` normalised -> ``(B, h, w, D)`` float32 on ``device``."""
        patches: Tensor = self.embedding(self.maps(images))
        return patches

    def maps(self, images: Tensor) -> list[Tensor]:
        """``(B, 3, *crop)`` normalised -> one ``(B, C, h, w)`` float32 map per layer."""
        maps = self.backbone(images.to(self.device, self.dtype))
        # In one memory layout: the last bits of what follows depend on it.
        return [layer.float().contiguous(memory_format=torch.channels_last) for layer in maps]

    def _seen_at(self, config: FeatureConfig, blank: Tensor) -> list[Tensor]:
        """Take sizes from a config; gives the maps of a blank image of that size."""
        self.config = config
        self.preprocessing = Preprocessing(
            config.resize, config.crop, self.backbone.mean, self.backbone.std, config.tile,
            config.intensity,
        )  # fmt: skip
        maps = self._probe(blank)
        self.grid = (int(maps[0].shape[2]), int(maps[0].shape[3]))
        return maps

    @torch.inference_mode()
    def _probe(self, blank: Tensor) -> list[Tensor]:
        name, crop = self.backbone.name, blank.shape[2:]
        try:
            maps: list[Tensor] = self.backbone(blank)
        except Exception as error:  # a module of the user's own may raise any
            reason = " ".join(str(error).split())
            raise UsageError(
                f"{name} does not take pictures of {crop[0]}x{crop[1]} ({reason})"
            ) from error
        check_maps(maps, crop, name)
        return maps
