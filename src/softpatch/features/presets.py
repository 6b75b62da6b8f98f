"""What a patch vector is made of: the options of the features, and presets of them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from softpatch.errors import UsageError
from softpatch.features.embedding import Embedding
from softpatch.features.offline_weights import DEFAULT_BACKBONE
from softpatch.ranges.kinds import sides
from softpatch.ranges.table import check
from softpatch.runtime.intensity import FULL, Intensity

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
        intensity: see ``Preprocessing``.
        precision: ``fp32``, or ``bf16``: the network computes in 8 significant bits; all that
            follows is float32. Twice as fast where the processor has AVX-512 or better, an eighth
            of the speed where it has not.
    """

    backbone: str = DEFAULT_BACKBONE
    layers: tuple[str, ...] | None = None
    weights: str | None = None
    embedding: Embedding = "neighbourhood"
    dimension: int = 1024
    resize: tuple[int, int] = (256, 256)
    crop: tuple[int, int] = (224, 224)
    tile: tuple[int, int] | None = None
    precision: Precision = "fp32"
    intensity: Intensity = FULL


PRESETS = MappingProxyType(
    {
        # Not cropped: the paper's 256 -> 224 never sees the outer eighth, where defects are, too.
        # A fit shows the network what suits its images, see ``images.shape``.
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

    Raises:
        UsageError: an unknown preset, or a value that an option does not take.
    """
    check("preset", preset)
    if preset not in PRESETS:
        raise UsageError(f"no preset is called {preset!r}; there are {', '.join(PRESETS)}")
    settings = dict(vars(PRESETS[preset]))
    changes = {key: check(key, value) for key, value in changes.items() if value is not None}
    if changes.get("backbone", settings["backbone"]) != settings["backbone"]:
        settings["layers"] = None
    settings.update(changes)
    settings["intensity"] = Intensity(*settings["intensity"])
    if "resize" in changes and "crop" not in changes:
        settings["crop"] = settings["resize"]
    # Before a network is tried on it, which takes memory as the crop is large.
    if any(part > side for part, side in zip(settings["crop"], settings["resize"], strict=True)):
        crop, resize = sides(settings["crop"]), sides(settings["resize"])
        raise UsageError(f"crop {crop} must lie within resize {resize}")
    return FeatureConfig(**settings)
