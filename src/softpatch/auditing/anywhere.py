"""Unlike all other pictures, wherever in them one looks: for parts that lie anyhow, and textures.

Per-position discriminators compare a patch with those at the same place of other pictures. Where
parts are turned or shifted, and on textures, every place shows something else in every picture,
and faint defects drown in that. Here a patch is compared with patches from anywhere in the others.
Pictures keep their aspect, and nothing of them is cropped: a crack in a strip squashed to a square
is too thin to be seen. Patches are 3x3 averages of the network's coarsest layer; magnetic tile's
defects stand out from those by 0.02 to 0.10 AUROC more than from the finer ones of the detectors.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from softpatch.alignment import NEAR, compared
from softpatch.coreset import greedy_coreset
from softpatch.discriminators.positions import SAME, draw_references
from softpatch.errors import DatasetError
from softpatch.features.extractor import PatchExtractor
from softpatch.images import ImageSource, OnUnreadable, prefetch
from softpatch.memory import chunks
from softpatch.preprocessing import Preprocessing
from softpatch.progress import Progress, silent
from softpatch.region import Region
from softpatch.tiling import Layout
from softpatch.views import views_of

SIMILAR = 2  # the other picture whose likeness counts: a defect may have one twin
SAMPLE = 60  # patches of a view that others are compared with, chosen by greedy k-center
VIEWS = 1000  # that they are taken from, at most
LARGEST = 4  # times the crop: what a side of a picture need not exceed
AT_ONCE = 8  # views the network sees


@dataclass(frozen=True)
class LoosePicture:
    """One picture's patches; pictures need not have the same number of them.

    Attributes:
        name: of the picture.
        layout: of its views.
        grid: (h, w) patches of a view.
        patches: ``(n, C)`` float32, those inside the region of interest, view by view.
        views: ``(n,)`` int64, the view each is from.
        cells: ``(n,)`` int64, its place in the grid, row by row.
    """

    name: str
    layout: Layout
    grid: tuple[int, int]
    patches: Tensor
    views: Tensor
    cells: Tensor


@torch.inference_mode()
def loose_pictures(
    extractor: PatchExtractor,
    region: Region | None,
    sources: Sequence[ImageSource],
    on_unreadable: OnUnreadable,
    progress: Progress = silent,
) -> list[LoosePicture]:
    """Embed the pictures.

    Args:
        extractor: whose network, and tiles if it has some, are used.
        region: of interest; everywhere if None.
        sources: the pictures.
        on_unreadable: gets those that cannot be read.
        progress: told of the step ``look``.

    Raises:
        DatasetError: fewer than two readable pictures.
        UsageError: the region of interest covers no patch of one.
    """
    found: list[LoosePicture] = []
    usual = extractor.preprocessing
    enough = LARGEST * max(usual.crop) if usual.tile is None else None
    prepared = prefetch(sources, _preparation(extractor), on_unreadable, enough)
    for source, size, (preprocessing, seen) in prepared:
        patches = _patches(extractor, seen)  # (V, h, w, C)
        grid = (patches.shape[1], patches.shape[2])
        layout = preprocessing.layout(*size)
        inside = views_of(source.name, layout, region, grid)[0].region
        if inside is None:
            inside = torch.ones(len(patches), grid[0] * grid[1], dtype=torch.bool)
        views, cells = inside.nonzero(as_tuple=True)
        chosen = patches.flatten(1, 2)[views.to(patches.device), cells.to(patches.device)]
        found.append(LoosePicture(source.name, layout, grid, chosen, views, cells))
        progress("look", len(found), len(sources))
    if len(found) < 2:
        raise DatasetError(f"{len(found)} readable training pictures; at least 2 are needed")
    return found


def alignment(pictures: Sequence[LoosePicture]) -> float:
    """How often what looks most alike in two pictures is at the same place in both, 0..1.

    1.00 for bottle, 0.75 for bottle turned and shifted at random (it is round), 0.06 for magnetic
    tile. Pictures of different shapes are not aligned.
    """
    some = [pictures[row] for row in compared(len(pictures)).tolist()]
    shares = [_same_place(one, other) for one, other in itertools.pairwise(some)]
    return sum(shares) / len(shares)


@torch.inference_mode()
def unlikeness(
    pictures: Sequence[LoosePicture], seed: int = 0, progress: Progress = silent
) -> list[Tensor]:
    """Each patch's distance to the second most similar other picture; 1 is usual.

    The distance to a picture is that to its nearest patch, of ``SAMPLE`` from each of at most
    ``VIEWS`` views, drawn by ``seed``.

    Returns:
        for each picture ``(n,)`` float32, at least 0.
    """
    samples, owners = _samples(pictures, seed)
    centre = samples.mean(dim=(0, 1))
    memory = (samples - centre).flatten(0, 1)  # (V, S, C) -> (V * S, C)
    squares = memory.square().sum(dim=1)
    found = []
    for index, picture in enumerate(pictures):
        scores = picture.patches.new_empty(len(picture.patches))
        for chunk in chunks(len(scores), bytes_per_item=16 * len(memory)):
            own = picture.patches[chunk].double() - centre
            squared = torch.addmm(squares, own, memory.T, alpha=-2)  # (c, V * S), less |own|^2
            of_views = squared.view(len(own), *samples.shape[:2]).amin(dim=2)  # (c, V)
            norms = own.square().sum(dim=1)
            second = _second(of_views, owners, index) + norms
            scores[chunk] = second.where(second > SAME * norms, 0).sqrt().float()
        found.append(scores)
        progress("match", index + 1, len(pictures))
    usual = max(float(torch.cat(found).median()), torch.finfo(torch.float32).tiny)
    return [scores / usual for scores in found]


def _second(of_views: Tensor, owners: Tensor, own: int) -> Tensor:
    """``(c, V)`` to views of ``(V,)`` owners -> ``(c,)`` to the second nearest other picture."""
    pictures = int(owners.max()) + 1
    of_pictures = of_views.new_full((len(of_views), pictures), math.inf)
    of_pictures.scatter_reduce_(1, owners.expand_as(of_views), of_views, "amin")
    if own < pictures:
        of_pictures[:, own] = math.inf
    others = len(set(owners.tolist()) - {own})
    return of_pictures.kthvalue(min(SIMILAR, others), dim=1).values


def _samples(pictures: Sequence[LoosePicture], seed: int) -> tuple[Tensor, Tensor]:
    """``(V, S, C)`` float64 patches that cover V views, and the ``(V,)`` pictures they are of."""
    every = [
        (index, view)
        for index, picture in enumerate(pictures)
        for view in sorted(set(picture.views.tolist()))
    ]
    samples, owners = [], []
    for at in draw_references(len(every), VIEWS, seed).tolist():
        index, view = every[at]
        patches = pictures[index].patches
        patches = patches[(pictures[index].views == view).to(patches.device)]
        picks = greedy_coreset(patches, min(SAMPLE, len(patches)), seed=seed)
        # A view with fewer patches gives some of them twice, which changes no minimum.
        samples.append(patches[picks[torch.arange(SAMPLE, device=picks.device) % len(picks)]])
        owners.append(index)
    return torch.stack(samples).double(), torch.tensor(owners, device=samples[0].device)


def _same_place(one: LoosePicture, other: LoosePicture) -> float:
    """The share of one picture's patches whose nearest of the other is at the same place."""
    if (one.grid, one.layout.shape) != (other.grid, other.layout.shape):
        return 0.0
    nearest = torch.cdist(one.patches, other.patches).argmin(dim=1).cpu()
    columns = one.grid[1]
    down = (one.cells // columns - other.cells[nearest] // columns).abs() / one.grid[0]
    across = (one.cells % columns - other.cells[nearest] % columns).abs() / columns
    same = (one.views == other.views[nearest]) & (down <= NEAR) & (across <= NEAR)
    return float(same.float().mean())


def _patches(extractor: PatchExtractor, views: Tensor) -> Tensor:
    """``(V, 3, H, W)`` normalised -> ``(V, h, w, C)``."""
    starts = range(0, len(views), AT_ONCE)
    coarse = torch.cat([extractor.maps(views[at : at + AT_ONCE])[-1] for at in starts])
    return F.avg_pool2d(coarse, 3, stride=1, padding=1).permute(0, 2, 3, 1)


def _preparation(extractor: PatchExtractor) -> Callable[[Tensor], tuple[Preprocessing, Tensor]]:
    """Views of a picture at its own aspect, of as many pixels as the crop has; or its tiles."""
    usual = extractor.preprocessing

    def prepare(image: Tensor) -> tuple[Preprocessing, Tensor]:
        if usual.tile is not None:
            return usual, usual(image)
        sides = image.shape[1:]
        scale = math.sqrt(math.prod(usual.crop) / math.prod(sides))
        height, width = (
            max(2, round(side * scale / step)) * step
            for side, step in zip(sides, extractor.stride, strict=True)
        )
        own = replace(usual, resize=(height, width), crop=(height, width))
        return own, own(image)

    return prepare
