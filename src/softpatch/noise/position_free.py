"""Anywhere: how far is the second most similar other image, wherever in it one looks?"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import chunks
from softpatch.noise.neighbors import REFERENCES, check_comparable, draw_references

SIMILAR = 2  # the other image whose likeness counts: a defect may have one twin
SAMPLED = 60  # patches of a reference, chosen farthest-first, that others are compared with,
SHARE = 1 / 13  # or this share of them where it has more
MAX_REFERENCE_PATCHES = 20_000  # of all references together: 333 images of 28 x 28 patches
TINY = 1e-10


class PositionFree:
    """W = distance to the second most similar other image, as a multiple of the usual distance.

    The distance to an image is that to its nearest patch, of ``SAMPLED`` that cover it. Where parts
    are turned or shifted, every place shows something else in every image, and only what is found
    nowhere in the others is odd. A defect that recurs anywhere in three images has two twins; on
    turned bottles, 30 % of them bad, W still ranks bad images with an AUROC of 0.998.

    Above ``references`` images, or as many as ``MAX_REFERENCE_PATCHES`` has room for, the nearest
    of that many, drawn by ``seed``.
    """

    by_position: ClassVar[bool] = False

    def __init__(self, references: int = REFERENCES, seed: int = 0) -> None:
        self.references = references
        self.seed = seed

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        """``(P, N, D)`` -> ``(P, N)`` float32, above 0; ``progress`` counts images."""
        check_comparable(patches)
        positions, images, _ = patches.shape
        of_images = patches.transpose(0, 1)  # (N, P, D)
        chosen = self.chosen(images, positions).to(patches.device)
        memory = ReferenceImages(
            torch.stack([self.sample(of_images[row]) for row in chosen.tolist()])
        )
        own = {row: at for at, row in enumerate(chosen.tolist())}
        distance = torch.empty(positions, images, device=patches.device)
        for image in range(images):
            distance[:, image] = memory.to_similar(of_images[image].float(), own.get(image))
            progress("discriminate", image + 1, images)
        return (distance + TINY) / (distance.median() + TINY)

    def chosen(self, images: int, positions: int) -> Tensor:
        """``(r,)`` int64, ascending: the reference images of so many; at least two."""
        room = max(2, MAX_REFERENCE_PATCHES // self.sampled(positions))
        return draw_references(images, min(self.references, room), self.seed)

    def sample(self, image: Tensor) -> Tensor:
        """``(P, D)`` -> ``(S, D)`` float32 of its patches that cover it."""
        image = image.float()
        size = self.sampled(len(image))
        picks = greedy_coreset(image, size, seed=self.seed)
        # An image with fewer distinct patches gives some of them twice, which changes no minimum.
        return image[picks[torch.arange(size, device=picks.device) % len(picks)]]

    def sampled(self, positions: int) -> int:
        """S, patches of a reference image."""
        return min(positions, max(SAMPLED, int(SHARE * positions)))


class ReferenceImages:
    """Samples of the reference images, made ready once to be compared with every image."""

    def __init__(self, samples: Tensor) -> None:
        """Of ``(r, S, D)`` float32 samples."""
        self.images, self.sampled, _ = samples.shape
        self.centre = samples.mean(dim=(0, 1))  # distances keep more digits that way
        self.vectors = (samples - self.centre).flatten(0, 1)  # (r, S, D) -> (r * S, D)
        self.squares = self.vectors.square().sum(dim=1)

    def to_similar(self, patches: Tensor, own: int | None = None) -> Tensor:
        """``(P, D)`` float32 -> ``(P,)`` to the second nearest reference, or to a single one.

        The reference ``own``, the image that they are from, is passed over.
        """
        others = self.images - (own is not None)
        distance = torch.empty(len(patches), device=patches.device)
        item = 8 * len(self.vectors) + 12 * patches.shape[1]
        for chunk in chunks(len(patches), bytes_per_item=item):
            here = patches[chunk] - self.centre
            # Less |here|^2, which is the same for all.
            squared = torch.addmm(self.squares, here, self.vectors.T, alpha=-2)
            nearest, patch = squared.view(-1, self.images, self.sampled).min(dim=2)  # (c, r)
            if own is not None:
                nearest[:, own] = torch.inf
            second = nearest.topk(min(SIMILAR, others), dim=1, largest=False).indices[:, -1:]
            found = self.vectors[(second * self.sampled + patch.gather(1, second)).squeeze(1)]
            # Anew from the difference: what is equal is then 0 apart, and not as rounding says.
            distance[chunk] = torch.linalg.vector_norm(here - found, dim=1)
        return distance
