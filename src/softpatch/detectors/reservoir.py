"""What a model keeps so that it can learn from new pictures without the old ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from softpatch.bank.sketch import principal_axes
from softpatch.compute.scratch import chunks
from softpatch.features.projection import projection_matrix
from softpatch.storage.model_file import LARGEST_NUMBER

DIMENSION = 128  # numbers kept of a patch, see docs/update.md
PRINCIPAL = 64  # of them along principal axes
MOST_BYTES = 64 * 2**20  # of a sample, which is all pictures so far as long as they fit
LARGEST = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class PatchReservoir:
    """Training pictures, position by position, that new ones are compared with.

    Attributes:
        patches: ``(r, P, d)`` float16, as ``compress`` makes them; of pictures or of tiles, as
            discriminators compare them.
        image_index: ``(r,)`` int64, the index in ``image_names_`` of each; -1 for a tile, which
            is a part.
        of_bank: ``(m,)`` int64, which of these r * P patches a vector of the bank is; -1 for none.
        directions: ``(D, d)`` float32, by which they were compressed.
    """

    patches: Tensor
    image_index: Tensor
    of_bank: Tensor
    directions: Tensor

    @classmethod
    def of(
        cls, short: Tensor, rows: Tensor, image_index: Tensor, picks: Tensor, directions: Tensor
    ) -> PatchReservoir:
        """Of training patches some rows alone.

        Args:
            short: ``(r, P, d)``, those rows compressed.
            rows: ``(r,)`` int64, which of the M they are.
            image_index: ``(M,)`` int64, the picture each is from, the first being 0.
            picks: ``(m,)`` int64, which of the M * P patches are the bank.
            directions: by which they were compressed.
        """
        rows, image_index, picks = (
            indices.to(short.device) for indices in (rows, image_index, picks)
        )
        whole = image_index.bincount()[image_index] == 1
        of_bank = _renumbered(picks, rows, len(image_index), short.shape[1])
        return cls(short, image_index.where(whole, -1)[rows], of_bank, directions)

    def joined(self, others: PatchReservoir, before: int) -> PatchReservoir:
        """Both, and both banks, where ``before`` pictures come before the others'.

        Those along other directions are brought to these, as far as theirs tell.
        """
        patches = self.patches.shape[:2].numel()
        return PatchReservoir(
            _after(self.patches, others._along(self.directions)),
            _after(self.image_index, shift_indices(others.image_index, before)),
            _after(self.of_bank, shift_indices(others.of_bank, patches)),
            self.directions,
        )

    def _along(self, directions: Tensor) -> Tensor:
        if directions is self.directions:
            return self.patches
        back = torch.linalg.pinv(self.directions)  # (d, D)
        return compress(self.patches, back.to(directions) @ directions)

    def drawn(self, picks: Tensor, new: int, share: float, draw: int) -> PatchReservoir:
        """What is kept once some of the bank's vectors were picked to be the bank.

        Args:
            picks: ``(m',)`` int64, which of them.
            new: how many of the pictures, the last, are new.
            share: of all pictures seen that are new.
            draw: seed of the draw, where not all can be kept.
        """
        count, positions, dimension = self.patches.shape
        old = count - new
        of_old, of_new = draw_union(old, new, sample_size(count, positions, dimension), share, draw)
        rows = torch.cat([of_old, of_new + old]).to(picks.device)
        of_bank = _renumbered(self.of_bank[picks], rows, count, positions)
        return replace(
            self, patches=self.patches[rows], image_index=self.image_index[rows], of_bank=of_bank
        )

    def state(self) -> dict[str, Tensor]:
        """What a model file holds of it."""
        return {
            "sample": self.patches,
            "sample_owners": self.image_index,
            "sample_of_bank": self.of_bank,
            "sample_directions": self.directions,
        }

    @classmethod
    def restored(
        cls, state: dict[str, Tensor], dimension: int, images: int, vectors: int
    ) -> PatchReservoir:
        """What a model file holds, which may be anything, as a sample.

        Args:
            state: as ``state`` gave it.
            dimension: of the patches.
            images: how many the model has learned from.
            vectors: how many the bank has.

        Raises:
            KeyError, ValueError: it is not a sample, or not of this model.
        """
        patches, directions = state["sample"], state["sample_directions"]
        kept = min(dimension, DIMENSION)
        if directions.shape != (dimension, kept) or directions.dtype != torch.float32:
            raise ValueError("sample_directions are not directions of patches")
        if directions.abs().max() > LARGEST_NUMBER:
            raise ValueError("sample_directions hold numbers no direction has")
        if patches.ndim != 3 or patches.shape[2] != kept or patches.dtype != torch.float16:
            raise ValueError("sample holds no patches")
        image_index, of_bank = state["sample_owners"], state["sample_of_bank"]
        _check_indices(image_index, len(patches), images)
        _check_indices(of_bank, vectors, patches.shape[:2].numel())
        return cls(patches, image_index, of_bank, directions)


def _check_indices(given: Tensor, length: int, count: int) -> None:
    """That these are ``(length,)`` indices of ``count`` things, or -1."""
    if given.shape != (length,) or given.dtype != torch.int64:
        raise ValueError("the sample does not match the bank or the pictures")
    if length and not -1 <= int(given.min()) <= int(given.max()) < count:
        raise ValueError("the sample is of pictures or patches that there are not")


def _after(one: Tensor, other: Tensor) -> Tensor:
    return torch.cat([one, other.to(one.device)])


def shift_indices(indices: Tensor, offset: int) -> Tensor:
    """Indices where so many come before; -1, which is none, stays."""
    return torch.where(indices < 0, -1, indices + offset)


def _renumbered(of_bank: Tensor, rows: Tensor, count: int, positions: int) -> Tensor:
    """Which patches of some rows they are, that were patches of ``count`` rows; -1 for none."""
    place = torch.full((count + 1,), -1, device=rows.device)  # the last for -1
    place[rows] = torch.arange(len(rows), device=rows.device)
    row = place[of_bank.div(positions, rounding_mode="floor")]
    return torch.where(row < 0, -1, row * positions + of_bank % positions)


@dataclass(frozen=True)
class UpdateScores:
    """What a method makes of its bank and new training patches.

    Attributes:
        weights: ``(m + M * P,)`` of the bank's vectors and with which new patches would enter it.
        admitted: ``(m + M * P,)`` bool, which of them may be in it.
        outlier: ``(r + M, P)`` outlier scores W of a sample and the new pictures; None without.
        pictures: both, as a sample keeps them; None where none is kept.
    """

    weights: Tensor
    admitted: Tensor
    outlier: Tensor | None = None
    pictures: PatchReservoir | None = None


def sample_size(images: int, positions: int, dimension: int) -> int:
    """How many of the images are kept, at most; of tiles, where these are compared."""
    return min(images, max(1, MOST_BYTES // (2 * positions * min(dimension, DIMENSION))))


def sampled(images: int, positions: int, dimension: int, seed: int) -> Tensor:
    """Which of the images are kept: ascending int64 indices."""
    most = sample_size(images, positions, dimension)
    return draw_union(0, images, most, 1.0, seed)[1]


def compression_axes(patches: Tensor) -> Tensor:
    """By what a sample of ``(n, D)`` patches, and those that join it, are compress.

    Half are the leading principal axes A, along which most of a distance lies. The others are
    random, less what A tells of them, and keep in expectation the square of what is left. Random
    ones alone lose 0.002 of image AUROC on magnetic tile in ten updates; principal ones alone see
    too little of defects, and ranked suspects of bottle with an AUROC of 0.977 for 0.991.

    Returns:
        ``(D, d)`` float32.
    """
    dimension = patches.shape[1]
    if dimension <= DIMENSION:
        return torch.eye(dimension, device=patches.device)
    axes = principal_axes(patches)[2][:, -PRINCIPAL:]
    others = projection_matrix("gaussian", dimension, DIMENSION - PRINCIPAL, seed=0).to(axes)
    return torch.cat([axes, others - axes @ (axes.T @ others)], dim=1)


def compress(patches: Tensor, directions: Tensor, rows: Tensor | None = None) -> Tensor:
    """``(M, P, D)`` -> ``(M, P, d)`` float16, as a sample keeps them; or of some rows alone."""
    _, positions, dimension = patches.shape
    if rows is None:
        rows = torch.arange(len(patches))
    device = directions.device
    short = torch.empty(
        len(rows), positions, directions.shape[1], dtype=torch.float16, device=device
    )
    for part in chunks(len(rows), bytes_per_item=8 * positions * dimension):
        long = patches[rows[part].to(patches.device)].to(device).float()
        short[part] = (long @ directions).clamp(-LARGEST, LARGEST).half()
    return short


def draw_union(old: int, new: int, most: int, share: float, draw: int) -> tuple[Tensor, Tensor]:
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
    # Drawn and not rounded: else a picture a day would never be among some hundred of thousands.
    drawn = int((torch.rand(most, generator=generator) < share).sum())
    taken = min(new, max(most - old, drawn))
    return _drawn(old, most - taken, generator), _drawn(new, taken, generator)


def take_union(old: Tensor, new: Tensor, most: int, share: float, draw: int) -> Tensor:
    """The rows of two tensors that ``draw_union`` chooses, in one on the old one's device."""
    of_old, of_new = draw_union(len(old), len(new), most, share, draw)
    return torch.cat([old[of_old.to(old.device)], new[of_new.to(new.device)].to(old.device)])


def without_share(count: int, share: float, seed: int) -> Tensor:
    """Ascending int64 indices of ``count`` things when that share of them has been forgotten."""
    generator = torch.Generator().manual_seed(seed)
    return _drawn(count, count - int(share * count), generator)


def _drawn(count: int, taken: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(count, generator=generator)[:taken].sort().values
