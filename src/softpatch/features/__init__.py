"""Patch features: a frozen backbone, and the embedding of its maps into patch vectors."""

from softpatch.features.extractor import PRESETS, FeatureConfig, PatchExtractor

__all__ = ["PRESETS", "FeatureConfig", "PatchExtractor"]
