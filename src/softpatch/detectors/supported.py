"""Fit a bank that keeps every patch and trusts none alone, see ``softpatch.bank.floors``.

How much is a matter of the images: where a good patch has its like in every other picture, floors
may ask for eight; where parts lie at any angle, not for two. A few pictures that the bank has not
seen tell: floors are as strict as leaves what these pictures score as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.floors import FloorRule, Floors, spacing
from softpatch.bank.memory_bank import MemoryBank
from softpatch.bank.support import PictureSearch, Support, neighbourhood
from softpatch.compute.scratch import chunks
from softpatch.detectors.bank_options import BankOptions
from softpatch.detectors.calibration import HeldOut, calibration_of
from softpatch.detectors.learned_bank import LearnedBank
from softpatch.detectors.patch_table import PatchTable
from softpatch.detectors.run import Run
from softpatch.noise.contamination import finite, image_suspicion, suspects

RANKS = (1, 2, 4, 8)  # of the picture whose distance is the floor
SPREADS = (0.0, 0.4)  # of the bank's spacing; distances to a bank are 0.3 to 0.5 of it off
RULES = tuple(
    FloorRule(rank, near, spread) for near in (False, True) for rank in RANKS for spread in SPREADS
)
NO_FLOORS = FloorRule(0, False, 0.0)
# Floors are free where four of five unseen pictures score at most 1 % above what they do
# without. Where none are, the weakest are taken up to 2.5 %: else defects that recur are lost.
# The held-out pictures of a bank do not tell: they leave a hole, whose edges score more than an
# unseen picture (60 screws: a median of 45.6 for 41.1), so floors seem free that cost 0.08.
FREE = 1.01
BEARABLE = 1.025
PICTURES = 0.8  # as many bad ones as there may be score more with floors, and should
AUDITED = 2  # rank, at least, by which an audit tells bad pictures
WITHHELD = 32  # pictures, at most,
SHARE = 4  # and at most one of so many
WORST = 32  # patches at a time that may be a picture's worst


@dataclass(frozen=True)
class SupportedBank:
    """A bank with floors.

    Attributes:
        bank: the memory bank; its floors are set.
        floors: where they are from, and what they would be without one image.
        support: of the same kind as the floors', for every rank of ``RANKS``.
        picks: ``(m,)`` int64, which of the M * P patches the bank is.
    """

    bank: MemoryBank
    floors: Floors
    support: Support
    picks: Tensor

    def for_an_audit(self) -> Self:
        """With floors that ask for two other pictures at least, whatever good pictures then score.

        A bad picture of which there is a copy would not stand out by the other one.
        """
        rule = replace(self.floors.rule, rank=max(AUDITED, self.floors.rule.rank))
        floors = Floors.of(self.support, rule, self.floors.spacing)
        return replace(self, bank=self.bank.with_floors(floors.every()), floors=floors)

    def held_out_scores(self, table: PatchTable, options: BankOptions, run: Run) -> Tensor:
        """``(M, P)`` float32: each image by the bank without its own vectors, nor their floors.

        Infinite where the whole bank is from one image.
        """
        scores = torch.empty(table.shape[:2])
        for images, rows in _parts(table):
            here, at = table.at_hand(rows)
            held_out = HeldOut(
                bank=self.bank,
                options=options,
                patches=here.patches[at.to(here.patches.device)],
                image_index=table.image_index[rows.to(table.image_index.device)],
                bank_image_index=self.floors.support.own,
                suspects=suspects(None, self.bank.vectors.device),
                floors=self.floors,
            )
            scores[rows] = held_out.patch_scores().cpu()
            run.progress("hold out", images.stop, len(table.names))
        return scores.to(self.bank.vectors.device)


def learn_supported(table: PatchTable, options: BankOptions, floors: bool, run: Run) -> LearnedBank:
    """The bank, and of its training images how suspicious each is and what scores mean."""
    supported = support_bank(table, options, run) if floors else plain_bank(table, options, run)
    scores = supported.held_out_scores(table, options, run)
    suspicion = image_suspicion(finite(scores), table.image_index.to(scores.device))
    calibration = calibration_of(scores, table.image_index.to(scores.device), suspicion, options)
    return LearnedBank(
        table.names, options, supported.bank, calibration, suspicion, floors=supported.floors
    )


def plain_bank(table: PatchTable, options: BankOptions, run: Run) -> SupportedBank:
    """The same bank as PatchCore's: its floors are 0."""
    images, positions, _ = table.shape
    picks = table.coreset(options.coreset_size(images * positions), None, options.seed, run)
    vectors = table.take(picks)
    own = table.image_index.to(vectors.device)[picks.to(vectors.device) // positions]
    nobody = torch.full((len(picks), 1), torch.inf, device=vectors.device)
    support = Support(own, own.new_zeros(len(own)), nobody, own.new_full(nobody.shape, -1))
    bank = MemoryBank(vectors, torch.ones(len(picks), device=vectors.device))
    return SupportedBank(bank, Floors(support, NO_FLOORS, 0.0), support, picks)


def support_bank(table: PatchTable, options: BankOptions, run: Run) -> SupportedBank:
    """Pick the bank, find its support, and choose how strict its floors are.

    Some images are withheld until that is chosen; then the farthest-first rule goes on with theirs.
    """
    images, positions, _ = table.shape
    pictures = len(table.names)
    index = table.image_index.cpu()
    withheld = withheld_images(pictures)
    late = torch.isin(index, withheld)
    size = options.coreset_size(images * positions)
    early = max(1, size * int((~late).sum()) // images)
    eligible = (~late).unsqueeze(1).expand(images, positions) if len(withheld) else None
    picks = table.coreset(early, eligible, options.seed, run)
    picks = _go_on(table, picks, late.nonzero().flatten(), size, options.seed, run)
    vectors = table.take(picks)
    device = vectors.device
    own = index[picks.cpu() // positions].to(device)
    places = (picks.cpu() % positions).to(device)

    beside = None
    if images == pictures:  # else positions of tiles, which differ between images
        beside = neighbourhood(table.grid, table.inside, positions)
    search = PictureSearch(vectors, own, places, max(RANKS) + 1, beside)
    _see(search, table, (~late).nonzero().flatten(), 0, run)
    apart, rule = spacing(vectors), NO_FLOORS
    if len(withheld):
        known = torch.arange(min(early, len(picks)), device=device)
        every = [support.take(known) for support in search.found()]
        candidates = [
            Floors.of(every[rule.near], rule, apart) for rule in RULES if rule.near < len(every)
        ]
        early_bank = MemoryBank(vectors[known], torch.ones(len(known), device=device))
        rule = choose(early_bank, candidates, table, late)
        _see(search, table, late.nonzero().flatten(), pictures - len(withheld), run)
    support = search.found()[rule.near]
    floors = Floors.of(support, rule, apart)
    bank = MemoryBank(vectors, torch.ones(len(picks), device=device), floors=floors.every())
    return SupportedBank(bank, floors, support, picks)


def withheld_images(images: int) -> Tensor:
    """``(w,)`` int64, ascending: which of that many images are withheld until floors are chosen."""
    count = min(WITHHELD, images // SHARE)
    return (torch.arange(count) * images) // max(1, count) + images // max(1, 2 * count)


def choose(
    bank: MemoryBank, candidates: list[Floors], table: PatchTable, late: Tensor
) -> FloorRule:
    """The strictest floors that are free for the withheld images, see ``FREE``; or the weakest.

    Args:
        bank: of the other images, without floors.
        candidates: floors that it may have.
        table: of all images.
        late: ``(M,)`` bool, the rows of those withheld.
    """
    every = [floors.every() for floors in candidates]
    ratios = []
    index = table.image_index.cpu()
    for image in torch.unique_consecutive(index[late]).tolist():
        here, at = table.at_hand((index == image).nonzero().flatten())
        patches = here.patches[at.to(here.patches.device)].flatten(0, 1)
        plain, scores = 0.0, [0.0] * len(every)
        for chunk in chunks(len(patches), bytes_per_item=8 * len(bank)):
            # All patches: one of the nearest to the bank may be the worst with floors.
            distance = torch.cdist(patches[chunk], bank.vectors)
            nearest = distance.min(dim=1)
            plain = max(plain, float(nearest.values.max()))
            scores = [
                largest_score(distance, nearest, one, so_far)
                for one, so_far in zip(every, scores, strict=True)
            ]
        ratios.append(torch.tensor(scores) / max(plain, torch.finfo(torch.float32).tiny))
    usual = torch.quantile(torch.stack(ratios), PICTURES, dim=0)
    strictness = torch.tensor([float(one.mean()) for one in every])
    if bool((usual <= FREE).any()):
        return candidates[int(strictness.where(usual <= FREE, -1.0).argmax())].rule
    weakest = int(strictness.argmin())
    return candidates[weakest].rule if usual[weakest] <= BEARABLE else NO_FLOORS


def largest_score(
    distance: Tensor, nearest: torch.return_types.min, floors: Tensor, so_far: float
) -> float:
    """The largest score of some patches with floors, if it is larger than the largest so far.

    No patch scores more than by its nearest vector, and so few may be the worst.

    Args:
        distance: ``(q, m)`` of patches to vectors.
        nearest: its least ones.
        floors: ``(m,)`` of the vectors.
        so_far: of other patches.
    """
    at_most, order = torch.maximum(nearest.values, floors[nearest.indices]).sort(descending=True)
    for start in range(0, len(order), WORST):
        if at_most[start] <= so_far:
            break
        some = order[start : start + WORST]
        so_far = max(so_far, float(torch.maximum(distance[some], floors).amin(dim=1).max()))
    return so_far


def _go_on(
    table: PatchTable, picks: Tensor, rows: Tensor, size: int, seed: int, run: Run
) -> Tensor:
    """Picks of the withheld rows join those that there are, farthest-first."""
    positions, dimension = table.shape[1:]
    room = min(size - len(picks), len(rows) * positions)
    if room <= 0:
        return picks
    first = len(picks)
    vectors = run.scratch.empty(first + len(rows) * positions, dimension)
    vectors[:first] = table.take(picks)
    here, at = table.at_hand(rows)
    vectors[first:] = here.patches[at.to(here.patches.device)].flatten(0, 1)
    known = torch.arange(first, device=vectors.device)
    more = greedy_coreset(
        vectors, first + room, picked=known, seed=seed, scratch=run.scratch
    )[first:] - first  # fmt: skip
    rows = rows.to(more.device)
    joining = rows[more // positions] * positions + more % positions
    return torch.cat([picks, joining.to(picks.device)])


def _see(search: PictureSearch, table: PatchTable, rows: Tensor, done: int, run: Run) -> None:
    """Let the search take notice of the images whose rows these are, a few at a time."""
    index = table.image_index.cpu()
    for images, some in _parts(table, rows):
        here, at = table.at_hand(some)
        device = here.patches.device
        search.see(here.patches[at.to(device)], index[some].to(device))
        run.progress("support", done + images.stop, len(table.names))


def _parts(table: PatchTable, rows: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
    """Some whole images at a time: which of those given, and the rows of theirs."""
    rows = torch.arange(table.shape[0]) if rows is None else rows
    if not len(rows):
        return
    counts = torch.unique_consecutive(table.image_index.cpu()[rows], return_counts=True)[1]
    ends = [0, *counts.cumsum(dim=0).tolist()]
    an_image = 16 * table.shape[1] * table.shape[2] * int(counts.max())
    for chunk in chunks(len(counts), bytes_per_item=an_image):
        yield chunk, rows[ends[chunk.start] : ends[chunk.stop]]
