"""Options that all detectors take; ``softpatch.ranges`` says which values."""

from __future__ import annotations

from typing import Any, TypedDict

from torch import nn


class CommonOptions(TypedDict, total=False):
    """Options every detector takes; what is not given comes from the preset.

    Attributes:
        preset: ``edge`` (default), ``paper`` or ``dino``.
        backbone: its name, see ``FeatureConfig``; or an ``nn.Module`` of your own that returns maps
            and knows its normalisation, see ``PatchExtractor``.
        layers, weights, embedding, dimension, resize, crop, tile, precision: see
            ``FeatureConfig``; sizes are one number or (height, width).
        intensity: (low, high), the values that are black and white in images of more than 8 bits. A
            fit takes what holds the training images' if None.
        roi: the region of interest, as ``RegionOfInterest`` takes it: a mask picture, white where
            training and scoring look. Everywhere if None.
        seed: of every random draw.
        device: ``auto`` (default: CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1`` ...;
            of the run, not of the model: it does not enter the model file.
        batch_size: images the backbone sees at once; likewise, and results do not depend on it.
        memory_limit: bytes the process may have resident while it fits; what does not fit goes
            to temporary files. Likewise. Half of the available memory if None.
    """

    preset: str
    backbone: str | nn.Module | None
    layers: tuple[str, ...] | None
    weights: str | None
    embedding: str | None
    dimension: int | None
    resize: int | tuple[int, int] | None
    crop: int | tuple[int, int] | None
    tile: int | tuple[int, int] | None
    intensity: tuple[int, int] | None
    roi: Any
    precision: str | None
    seed: int
    device: str
    batch_size: int | None
    memory_limit: int | None


FEATURE_OPTIONS = (
    "layers", "weights", "embedding", "dimension", "resize", "crop", "tile", "precision",
    "intensity",
)  # fmt: skip
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(CommonOptions.__annotations__), "preset": "edge", "seed": 0, "device": "auto",
}  # fmt: skip
