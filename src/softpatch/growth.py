"""What a model keeps so that it can learn from new pictures without the old ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from softpatch.memory import chunks
from softpatch.projection import projection_matrix

SAMPLED = 32  # pictures that new ones are compared with
DIMENSION = 128  # numbers kept of a patch, see docs/update.md
MOST_BYTES = 64 * 2**20  # of a sample; fewer pictures are kept where each has many tiles
LARGEST = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class Judged:
    """What a method makes of new training patches.

    Attributes:
        outlier: ``(M, P)`` outlier scores W.
        weights: ``(M * P,)`` with which they would enter the bank.
        admitted: ``(M * P,)`` bool, which of them may.
        pictures: the new pictures as a sample keeps them; None where none is kept.
    """

    outlier: Tensor
    weights: Tensor
    admitted: Tensor
    pictures: PictureSample | None = None


class PictureSample:
    """A few of the training pictures, position by position, so that new ones can be compared.

    Attributes:
        patches: ``(r, P, d)`` float16, projected at random so that squared distances are kept in
            expectation; of pictures or of tiles, as discriminators compare them.
    """

    def __init__(self, patches: Tensor) -> None:
        self.patches = patches

    @classmethod
    def of(cls, patches: Tensor, seed: int) -> PictureSample:
        """Draw from ``(M, P, D)`` patches as the discriminator sees them."""
        images, positions, dimension = patches.shape
        return cls(shortened(patches, sampled(images, positions, dimension, seed)))

    def with_others(self, others: PictureSample, share: float, draw: int) -> PictureSample:
        """A sample of both, where ``share`` of all pictures are the others'; see ``of_both``."""
        count = len(self.patches) + len(others.patches)
        most = sample_size(count, *others.patches.shape[1:])
        return PictureSample(from_both(self.patches, others.patches, most, share, draw))


def sample_size(images: int, positions: int, dimension: int) -> int:
    """How many of the images are kept, at most; of tiles, where these are compared."""
    return min(images, SAMPLED, max(1, MOST_BYTES // (2 * positions * min(dimension, DIMENSION))))


def sampled(images: int, positions: int, dimension: int, seed: int) -> Tensor:
    """Which of the images are kept: ascending int64 indices."""
    most = sample_size(images, positions, dimension)
    return of_both(0, images, most, 1.0, seed)[1]


def shortened(patches: Tensor, rows: Tensor | None = None) -> Tensor:
    """``(M, P, D)`` -> ``(M, P, d)`` float16, as a sample keeps them; or of some rows alone."""
    _, positions, dimension = patches.shape
    if rows is None:
        rows = torch.arange(len(patches))
    if dimension > DIMENSION:  # by the same matrix in all models, so that these can be merged
        matrix = projection_matrix("gaussian", dimension, DIMENSION, seed=0).to(patches)
    else:
        matrix = torch.eye(dimension, device=patches.device)
    short = patches.new_empty(len(rows), positions, matrix.shape[1], dtype=torch.float16)
    for part in chunks(len(rows), bytes_per_item=8 * positions * dimension):
        long = patches[rows[part].to(patches.device)]
        short[part] = (long @ matrix).clamp(-LARGEST, LARGEST).half()
    return short


def of_both(old: int, new: int, most: int, share: float, draw: int) -> tuple[Tensor, Tensor]:
    """Bring two samples together in one of at most ``most`` in which all are as likely.

    Args:
        old: how many the one has.
        new: how many the other has.
        most: of both together.
        share: of everything both stand for, what the new one stands for.
        draw: seed of the draw.

    Returns:
        ascending int64 indices into the one and the other.
    """
    if old + new <= most:
        return torch.arange(old), torch.arange(new)
    generator = torch.Generator().manual_seed(draw)
    # Drawn and not rounded: else a picture a day would never be among 32 of thousands.
    drawn = int((torch.rand(most, generator=generator) < share).sum())
    taken = min(new, max(most - old, drawn))
    return _drawn(old, most - taken, generator), _drawn(new, taken, generator)


def from_both(old: Tensor, new: Tensor, most: int, share: float, draw: int) -> Tensor:
    """The rows of two tensors that ``of_both`` chooses, in one on the old one's device."""
    of_old, of_new = of_both(len(old), len(new), most, share, draw)
    return torch.cat([old[of_old.to(old.device)], new[of_new.to(new.device)].to(old.device)])


def without_share(count: int, share: float, seed: int) -> Tensor:
    """Ascending int64 indices of ``count`` things when that share of them has been forgotten."""
    generator = torch.Generator().manual_seed(seed)
    return _drawn(count, count - int(share * count), generator)


def _drawn(count: int, taken: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(count, generator=generator)[:taken].sort().values
