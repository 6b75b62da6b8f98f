"""What a discriminator compares: patches at their position, or what is around each of them."""

from __future__ import annotations

from softpatch.compute.scratch import chunks
from softpatch.detectors.patch_table import PatchTable
from softpatch.detectors.run import Run
from softpatch.features.coarse import CoarseFeatures, averaged
from softpatch.features.embedding import PatchEmbedding
from softpatch.noise.discriminators import Discriminator


def to_compare(
    table: PatchTable, discriminator: Discriminator, embedding: PatchEmbedding, run: Run
) -> PatchTable:
    """The table itself, or ``(M, P, d)`` averaged coarse features where positions do not count."""
    if discriminator.by_position:
        return table
    coarse = CoarseFeatures.of(embedding)
    features = table.map(coarse, coarse.length, run.scratch)
    inside = None if table.inside is None else table.inside.to(features.patches.device)
    for chunk in chunks(len(features.patches), 16 * features.patches[0].numel()):
        features.patches[chunk] = averaged(features.patches[chunk], table.grid, inside)
    return features


def compared_length(discriminator: Discriminator, embedding: PatchEmbedding) -> int:
    """D of what ``to_compare`` returns."""
    if discriminator.by_position:
        return embedding.dimension
    return CoarseFeatures.of(embedding).length
