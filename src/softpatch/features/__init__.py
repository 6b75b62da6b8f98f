"""Patch features: a frozen backbone, and the embedding of its maps into patch vectors."""

from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import PRESETS, FeatureConfig

__all__ = ["PRESETS", "FeatureConfig", "PatchExtractor"]
