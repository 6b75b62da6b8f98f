"""What the most suspicious images show where they are oddest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from softpatch.detectors.patch_table import PatchTable
from softpatch.noise.suspicion import image_suspicion, worst_count, worst_mean

MOST = 50  # images
SHARE = 3  # and at most one of so many: the others tell what is usual


@dataclass(frozen=True)
class OddestSpots:
    """The oddest spots of some images.

    Attributes:
        images: ``(n,)`` int64, which of all images, most suspicious first.
        looks: ``(n, D)`` float32, of each the mean of its worst patches, from which that of the
            least suspicious images is subtracted.
        usual: ``(u, D)`` float32, the same of some of the least suspicious images.
    """

    images: Tensor
    looks: Tensor
    usual: Tensor


def oddest_spots(table: PatchTable, outlier: Tensor) -> OddestSpots:
    """Of the most suspicious images by ``(M, P)`` outlier scores."""
    index = table.image_index.to(outlier.device)
    order = image_suspicion(outlier, index).argsort(descending=True, stable=True)
    suspects = order[: min(MOST, len(order) // SHARE)]
    least = order[len(order) // 2 :]
    usual = least[torch.linspace(0, len(least) - 1, min(MOST, len(least))).long()]
    looks = _looks(table, outlier, index, torch.cat([suspects, usual]))
    looks -= looks[len(suspects) :].mean(dim=0)
    return OddestSpots(suspects, looks[: len(suspects)], looks[len(suspects) :])


def _looks(table: PatchTable, outlier: Tensor, index: Tensor, images: Tensor) -> Tensor:
    """``(n, D)`` means of the worst patches of those images, of the tile that is the worst."""
    positions = outlier.shape[1]
    of_rows = worst_mean(outlier)
    rows = [(index == image).nonzero().flatten() for image in images]
    worst = torch.stack([mine[of_rows[mine].argmax()] for mine in rows])
    places = outlier[worst].topk(worst_count(positions), dim=1).indices
    patches = table.take((worst.unsqueeze(1) * positions + places).flatten())
    return patches.view(*places.shape, -1).mean(dim=1)
