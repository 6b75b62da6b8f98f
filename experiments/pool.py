"""All pictures of a category as patches, and how near every patch comes to every other picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from softpatch.datasets import Category
from softpatch.datasets.samples import read_mask
from softpatch.evaluation.frames import mask_at_input
from softpatch.features import PatchExtractor
from softpatch.features.embedding import Embedding, PatchEmbedding
from softpatch.features.presets import configure
from softpatch.images.decode import Picture
from softpatch.images.image_source import ImageSource
from softpatch.images.preprocessing import Preprocessing
from softpatch.images.sources import fail_unreadable, prefetch

# What all results here were made with.
FEATURES = configure("edge", backbone="efficientnet_lite0")
AT_ONCE = 64  # pictures of one shape that the network sees together
ROWS = 100_000  # patches whose distances are computed together
SHAPES = ("crop", "whole", "aspect", "aspect-flat")
EMBEDDINGS = ("neighbourhood", "average", "coarse")


@dataclass
class Maps:
    """What the network makes of the pictures: training pictures first, then test pictures."""

    names: list[str]
    layers: list[list[Tensor]]  # of each picture, (C, h, w) a layer
    masks: list[Tensor]  # (H, W) bool, at the network's input size
    defective: list[bool]


@dataclass
class Pool:
    """The same as patches.

    Attributes:
        names: paths.
        grids: (h, w) of each picture.
        image_index: ``(n,)`` the picture each patch is from, ascending.
        patches: ``(n, D)`` float32.
        defective: ``(A,)`` bool.
        masks: ``(H, W)`` bool of each.
    """

    names: list[str]
    grids: list[tuple[int, int]]
    image_index: Tensor
    patches: Tensor
    defective: Tensor
    masks: list[Tensor]

    @property
    def same_grid(self) -> bool:
        """Whether the pictures have places that can be compared."""
        return len(set(self.grids)) == 1

    def of(self, pictures: Tensor) -> Tensor:
        """``(n,)`` bool: the patches of those pictures."""
        return torch.isin(self.image_index, pictures.to(self.image_index.device))


def shaped(usual: Preprocessing, shape: str, size: tuple[int, int]) -> Preprocessing:
    """How a picture of that size becomes the network's input, of as many pixels in every shape."""
    if shape == "crop":
        return replace(usual, resize=(256, 256), crop=(224, 224))
    if shape == "whole":
        return replace(usual, resize=(224, 224), crop=(224, 224))
    scale = 224 / math.sqrt(math.prod(size))
    height, width = (max(2, round(side * scale / 16)) * 16 for side in size)
    return replace(usual, resize=(height, width), crop=(height, width))


@torch.inference_mode()
def maps_of(category: Category, shape: str, device: torch.device) -> Maps:
    """Read a category; ``flat`` shapes also bring every picture to one brightness and contrast."""
    extractor = PatchExtractor(FEATURES, device)
    samples = [*category.train, *category.test]

    def prepare(picture: Picture) -> tuple[Preprocessing, Tensor]:
        image = picture.image
        own = shaped(extractor.preprocessing, shape, (image.shape[1], image.shape[2]))
        if shape.endswith("flat"):
            light = image.float()
            image = ((light - light.mean()) / light.std().clamp_min(1) * 0.2 + 0.5).clamp_(0, 1)
        return own, own(image)[0]

    seen: list[Tensor] = []
    masks: list[Tensor] = []
    sources = [ImageSource(str(sample.path), sample.path) for sample in samples]
    read = prefetch(sources, prepare, fail_unreadable, None)
    for (_, size, (own, image), _), sample in zip(read, samples, strict=True):
        seen.append(image)
        masks.append(torch.from_numpy(mask_at_input(read_mask(sample, size), own)).to(device))

    layers: dict[int, list[Tensor]] = {}
    for seen_as in sorted({tuple(image.shape) for image in seen}):
        which = [index for index, image in enumerate(seen) if tuple(image.shape) == seen_as]
        for at in range(0, len(which), AT_ONCE):
            some = which[at : at + AT_ONCE]
            maps = extractor.maps(torch.stack([seen[index] for index in some]))
            layers.update({at: [layer[i] for layer in maps] for i, at in enumerate(some)})
    return Maps(
        [str(sample.path) for sample in samples],
        [layers[index] for index in range(len(seen))],
        masks,
        [sample.defective for sample in samples],
    )


@torch.inference_mode()
def embedded(maps: Maps, kind: str) -> Pool:
    """Patches of one of ``EMBEDDINGS``; ``coarse`` is averages of the coarsest layer's own grid."""
    device = maps.layers[0][0].device
    channels = [len(layer) for layer in maps.layers[0]]
    usual: Embedding = "average" if kind == "average" else "neighbourhood"
    embedding = PatchEmbedding(channels, usual, 1024).to(device)
    grids = []
    for layers in maps.layers:
        if kind == "coarse":
            pooled = F.avg_pool2d(layers[-1][None], 3, stride=1, padding=1)
            grids.append(pooled[0].permute(1, 2, 0))
        else:
            grids.append(embedding([layer[None] for layer in layers])[0])
    counts = torch.tensor([grid.shape[0] * grid.shape[1] for grid in grids], device=device)
    return Pool(
        maps.names,
        [(grid.shape[0], grid.shape[1]) for grid in grids],
        torch.arange(len(grids), device=device).repeat_interleave(counts),
        torch.cat([grid.flatten(0, 1) for grid in grids]),
        torch.tensor(maps.defective, device=device),
        maps.masks,
    )


@torch.inference_mode()
def nearest_anywhere(pool: Pool) -> Tensor:
    """``(n, A)`` float32: distance of each patch to the nearest of each picture, anywhere in it."""
    own = pool.patches - pool.patches.mean(dim=0)
    squares = own.square().sum(dim=1)
    found = own.new_empty(len(own), len(pool.names))
    for picture in range(len(pool.names)):
        theirs = pool.image_index == picture
        for at in range(0, len(own), ROWS):
            part = slice(at, at + ROWS)
            product = torch.addmm(squares[theirs], own[part], own[theirs].T, alpha=-2)
            found[part, picture] = product.amin(dim=1)
    return (found + squares[:, None]).clamp_(min=0).sqrt_()


@torch.inference_mode()
def nearest_at_place(pool: Pool, window: int) -> Tensor:
    """``(P, A, A)``: distance of patch p of a picture to the nearest of another in the window."""
    pictures, (h, w) = len(pool.names), pool.grids[0]
    own = (pool.patches - pool.patches.mean(dim=0)).view(pictures, h * w, -1)
    own = own.transpose(0, 1).contiguous()  # (P, A, D)
    squares = own.square().sum(dim=2)
    best = own.new_full((h * w, pictures, pictures), math.inf)
    at = torch.arange(h * w, device=own.device)
    for down in range(-window, window + 1):
        for across in range(-window, window + 1):
            row, column = at // w + down, at % w + across
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            for part in torch.split(at[inside], 128):
                there = part + down * w + across
                near = torch.baddbmm(squares[there][:, None], own[part], own[there].mT, alpha=-2)
                best[part] = torch.minimum(best[part], near + squares[part][..., None])
    return best.clamp_(min=0).sqrt_()
