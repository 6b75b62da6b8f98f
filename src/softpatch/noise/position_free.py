"""Position-free: how far is the second most similar other image, at any position?"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import chunks
from softpatch.noise.neighbors import REFERENCES, check_comparable, draw_references

SIMILAR = 2  # rank of the image whose distance counts: a defect may have one twin
SAMPLED = 60  # patches of a reference that others are compared with, chosen farthest-first,
SHARE = 1 / 13  # or this share of its patches if that is more
MAX_REFERENCE_PATCHES = 20_000  # of all references together: 333 images of 28 x 28 patches
TINY = 1e-10


class PositionFree:
    """W = distance to the second most similar other image / the median of that distance.

    The distance to an image is that to its nearest patch at any position, among ``SAMPLED`` patches
    that cover the image. For parts that are turned or shifted, a position shows something else in
    every image, and only a patch found nowhere in the other images is an outlier. Fails for defects
    that recur anywhere in three images, as each then has two twins; yet on turned bottles, 30 % of
    them bad, W still ranks bad images with an AUROC of 0.998.

    Above ``references`` images, or as many as ``MAX_REFERENCE_PATCHES`` allows, only that many,
    drawn by ``seed``, are compared with.
    """

    by_position: ClassVar[bool] = False
    words: ClassVar[str] = (
        "distance of a patch to the second most similar other picture, anywhere in it"
    )
    tau: ClassVar[float | Literal["auto"]] = 0.15
    soft_weight: ClassVar[bool] = False  # as for ``LofDistance``: the scores grow with distance

    def __init__(self, references: int = REFERENCES, seed: int = 0) -> None:
        self.references = references
        self.seed = seed

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """``(P, N, D)`` -> ``(P, N)`` float32, above 0; ``progress`` counts images."""
        check_comparable(patches)
        positions, images, _ = patches.shape
        by_image = patches.transpose(0, 1)  # (N, P, D)
        chosen = self.chosen(images, positions).tolist()
        references = ReferenceImages(torch.stack([self.sample(by_image[row]) for row in chosen]))
        own = {image: reference for reference, image in enumerate(chosen)}
        distance = torch.empty(positions, images, device=patches.device)
        for image in range(images):
            distance[:, image] = references.to_similar(by_image[image].float(), own.get(image))
            progress("discriminate", image + 1, images)
        return (distance + TINY) / (distance.median() + TINY)

    def chosen(self, images: int, positions: int) -> Tensor:
        """``(r,)`` int64, ascending: the reference images among ``images``; at least two."""
        room = max(2, MAX_REFERENCE_PATCHES // self.sampled(positions))
        return draw_references(images, min(self.references, room), self.seed)

    def sample(self, image: Tensor) -> Tensor:
        """``(P, D)`` -> ``(S, D)`` float32: patches of the image that cover it."""
        image = image.float()
        size = self.sampled(len(image))
        picks = greedy_coreset(image, size, seed=self.seed)
        # Fewer distinct patches than S are repeated, which changes no minimum.
        return image[picks[torch.arange(size, device=picks.device) % len(picks)]]

    def sampled(self, positions: int) -> int:
        """S, the number of patches sampled from a reference image."""
        return min(positions, max(SAMPLED, int(SHARE * positions)))


class ReferenceImages:
    """Samples of the reference images, prepared once for comparison with every image."""

    def __init__(self, samples: Tensor) -> None:
        """Prepare ``(r, S, D)`` float32 samples."""
        self.images, self.sampled, _ = samples.shape
        self.centre = samples.mean(dim=(0, 1))  # subtracted, distances keep more digits
        self.vectors = (samples - self.centre).flatten(0, 1)  # (r, S, D) -> (r * S, D)
        self.squares = self.vectors.square().sum(dim=1)

    def to_similar(self, patches: Tensor, own: int | None = None) -> Tensor:
        """``(P, D)`` float32 -> ``(P,)`` distances to the second nearest reference or the only one.

        The reference ``own``, the image that the patches come from, is skipped.
        """
        others = self.images - (own is not None)
        distance = torch.empty(len(patches), device=patches.device)
        item = 8 * len(self.vectors) + 12 * patches.shape[1]
        for chunk in chunks(len(patches), bytes_per_item=item):
            here = patches[chunk] - self.centre
            # |here|^2, the same for all references, is left out.
            squared = torch.addmm(self.squares, here, self.vectors.T, alpha=-2)
            nearest, patch = squared.view(-1, self.images, self.sampled).min(dim=2)  # (c, r)
            if own is not None:
                nearest[:, own] = torch.inf
            second = nearest.topk(min(SIMILAR, others), dim=1, largest=False).indices[:, -1:]
            found = self.vectors[(second * self.sampled + patch.gather(1, second)).squeeze(1)]
            # Recomputed from the difference, so identical patches have distance exactly 0.
            distance[chunk] = torch.linalg.vector_norm(here - found, dim=1)
        return distance
