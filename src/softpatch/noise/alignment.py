"""Do positions of different images show the same part?

Most discriminators compare patches at the same position. Whether that makes sense depends on how
the images were taken, which nobody labels but the patches show: if parts are in place, the patch of
another image that is most similar is at the same position.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from softpatch.compute.scratch import chunks

COMPARED = 50  # pairs of images, at most
NEAR = 0.1  # of a side: two patches this near are at the same position


def compared(images: int) -> Tensor:
    """``(r,)`` int64, ascending: the images whose alignment is measured."""
    return torch.arange(0, images, max(1, images // COMPARED))[: COMPARED + 1]


def places(grid: tuple[int, int]) -> Tensor:
    """``(h * w, 2)`` float32: row and column of every patch, as shares of the image's sides."""
    rows, columns = (torch.arange(side) / side for side in grid)
    return torch.cartesian_prod(rows, columns)


@torch.inference_mode()
def alignment(patches: Tensor, places: Tensor) -> float:
    """Share, 0..1, of patches whose most similar patch of the next image is at the same position.

    The images are those of ``compared``.

    Args:
        patches: ``(N, P, D)``, N at least 2.
        places: ``(P, 2)``, see ``places``.
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
