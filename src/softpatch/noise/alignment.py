"""Do the same places of different pictures show the same?

Discriminators compare patches at the same place. What that can tell depends on how the pictures
were taken, which nobody labels, but the patches show: the one most like another picture's lies at
the same place, or anywhere.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from softpatch.compute.scratch import chunks

COMPARED = 50  # pairs of pictures that are looked at, at most
NEAR = 0.1  # of a side, within which two patches are at the same place


def compared(pictures: int) -> Tensor:
    """``(r,)`` int64, ascending: the pictures whose alignment is looked at."""
    return torch.arange(0, pictures, max(1, pictures // COMPARED))[: COMPARED + 1]


def places(grid: tuple[int, int]) -> Tensor:
    """``(h * w, 2)`` float32: where the patches of a picture lie, as shares of its sides."""
    rows, columns = (torch.arange(side) / side for side in grid)
    return torch.cartesian_prod(rows, columns)


@torch.inference_mode()
def alignment(patches: Tensor, places: Tensor) -> float:
    """How often what looks most alike in two pictures is at the same place in both, 0..1.

    Of the pictures that ``compared`` names, each is compared with the next.

    Args:
        patches: ``(N, P, D)``, of two pictures or more.
        places: ``(P, 2)`` of their patches.
    """
    places = places.to(patches.device)
    rows = compared(len(patches)).tolist()
    same = 0.0
    for one, other in pairwise(rows):
        for chunk in chunks(len(places), bytes_per_item=8 * len(places)):
            nearest = torch.cdist(patches[one, chunk], patches[other]).argmin(dim=1)
            apart = (places[chunk] - places[nearest]).abs().amax(dim=1)
            same += float((apart <= NEAR).sum())
    return same / ((len(rows) - 1) * len(places))
