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
from softpatch.bank.floor_rule import FloorRule
from softpatch.bank.floors import Floors, spacing
from softpatch.bank.memory_bank import MemoryBank
from softpatch.bank.stand_ins import StandIns
from softpatch.bank.support import PictureSearch, Support, neighbourhood
from softpatch.compute.scratch import chunks
from softpatch.detectors.bank_options import BankOptions
from softpatch.detectors.calibration import HeldOut, calibration_of, normal_sample
from softpatch.detectors.learned_bank import LearnedBank
from softpatch.detectors.look_alikes import LookAlikes
from softpatch.detectors.patch_table import PatchTable
from softpatch.detectors.run import Run
from softpatch.detectors.strictness import NO_FLOORS, choose, worst_scores
from softpatch.noise.suspicion import finite, of_images, suspects, worst_count

RANKS = (1, 2, 4, 8)  # of the picture whose distance is the floor
SPREADS = (0.0, 0.4)  # of the bank's spacing; distances to a bank are 0.3 to 0.5 of it off
RULES = tuple(
    FloorRule(rank, near, spread) for near in (False, True) for rank in RANKS for spread in SPREADS
)
AUDITED = 2  # rank, at least, by which an audit tells bad pictures
WITHHELD = 32  # pictures, at most,
SHARE = 4  # and at most one of so many
# The first fifth of a bank, picked farthest-first, lies near everything: of 1,664 patches of a
# strip 300 are then left that may be among the 16 farthest from the whole bank.
FIRST = 5
# By which unseen pictures score more than held out ones, at most. Sets need 1.00 to 1.06; where it
# seems to be more, the bank without the pictures was too small.
MOST_SCALE = 1.1


@dataclass(frozen=True)
class WorstHeldOut:
    """Of all training images, each by the bank without its own vectors.

    Attributes:
        worst: ``(M, k)`` float32 of each image or tile the largest scores, descending.
        looks: ``(M, D)`` float32, the mean of its patches.
        sample: ``(s,)`` float32 scores of a sample of the patches.
        sample_of: ``(s,)`` int64, the image that each of the sample is from.
    """

    worst: Tensor
    looks: Tensor
    sample: Tensor
    sample_of: Tensor

    def image_scores(self, index: Tensor, look_alikes: LookAlikes | None) -> Tensor:
        """``(N,)`` image scores, of the tile whose patch is worst; ``index`` ``(M,)`` of images."""
        scores = self.worst[:, 0]
        of_image = of_images(scores, index)
        if look_alikes is None:
            return of_image
        parts = (slice(row, row + 1) for row in range(len(index)))
        allowed = torch.cat(
            [look_alikes.allowance(self.looks[part], index[part]) for part in parts]
        )
        return of_images((scores / allowed).where(scores == of_image[index], 0), index)


@dataclass(frozen=True)
class Unseen:
    """Images that were withheld, and their distances to the bank as it was without them.

    Attributes:
        images: ``(w,)`` int64.
        distances: ``(w,)`` float32, of each image's worst patch, floors included.
    """

    images: Tensor
    distances: Tensor

    def scale(self, held_out: Tensor) -> float:
        """By how much more unseen images score than when held out of the whole bank, 1 to 1.1.

        The whole bank holds, in place of a held out image's vectors, what is nearest to these (see
        ``softpatch.bank.stand_ins``), which is more like the image than what a bank picked without
        it would hold: parts at any angle score 5 % less, parts in place as much.

        Args:
            held_out: ``(N,)`` distances of all images' worst patches, held out.
        """
        ratios = self.distances.to(held_out.device) / held_out[self.images.to(held_out.device)]
        ratios = ratios[ratios.isfinite()]
        return min(max(1.0, float(ratios.median())), MOST_SCALE) if len(ratios) else 1.0


@dataclass(frozen=True)
class SupportedBank:
    """A bank with floors.

    Attributes:
        bank: the memory bank; its floors are set.
        floors: where they are from, and what they would be without one image.
        support: of the same kind as the floors', for every rank of ``RANKS``.
        picks: ``(m,)`` int64, which of the M * P patches the bank is.
        stand_ins: for the vectors of images that are held out; None of a bank without floors.
        unseen: what images scored that the bank had not seen; None where none were withheld.
    """

    bank: MemoryBank
    floors: Floors
    support: Support
    picks: Tensor
    stand_ins: StandIns | None = None
    unseen: Unseen | None = None

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
                stand_ins=self.stand_ins,
            )
            scores[rows] = held_out.patch_scores().cpu()
            run.progress("hold out", images.stop, len(table.names))
        return scores.to(self.bank.vectors.device)

    def worst_held_out(self, table: PatchTable, options: BankOptions, run: Run) -> WorstHeldOut:
        """What a fit needs to know of ``held_out_scores``, for two fifths of the work."""
        rows, positions, dimension = table.shape
        index, device = table.image_index.cpu(), self.bank.vectors.device
        own = self.floors.support.own
        of_stand_ins = self.floors.of_stand_ins()
        some = self.bank.first(-(-len(self.bank) // FIRST))
        sampled, places = normal_sample(index, suspects(None, index.device), positions)
        worst = torch.empty(rows, worst_count(positions), device=device)
        sample = torch.empty(len(sampled), device=device)
        looks = torch.empty(rows, dimension, device=device)
        for images, part in _parts(table):
            here, at = table.at_hand(part)
            for row, where in zip(part.tolist(), at.tolist(), strict=True):
                patches = here.patches[where].to(device)
                looks[row] = patches.mean(dim=0)
                image = int(index[row])
                floors, of = self.floors.without(image), own.new_full((positions,), image)
                bank = self.bank.with_floors(floors)
                some = some.with_floors(floors[: len(some)])
                at_most, _ = some.nearest(patches, (of, own[: len(some)]))
                if self.stand_ins is not None:
                    instead = self.stand_ins.nearest(patches, image, of_stand_ins)
                    at_most = torch.minimum(at_most, instead)
                worst[row] = bank.farthest(patches, worst.shape[1], at_most, (of, own))
                drawn = sampled == row
                place = places[drawn].to(device)
                found, _ = bank.nearest(patches[place], (of[place], own))
                sample[drawn.to(device)] = torch.minimum(found, at_most[place])
            run.progress("hold out", images.stop, len(table.names))
        of_sample = index[sampled].to(device)
        return WorstHeldOut(options.score(worst), looks, options.score(sample), of_sample)


def learn_supported(table: PatchTable, options: BankOptions, floors: bool, run: Run) -> LearnedBank:
    """The bank, and of its training images how suspicious each is and what scores mean."""
    supported = support_bank(table, options, run) if floors else plain_bank(table, options, run)
    found = supported.worst_held_out(table, options, run)
    index = table.image_index.to(found.worst.device)
    suspicion = of_images(finite(found.worst).mean(dim=1), index)
    look_alikes = LookAlikes.of(found.looks, found.worst[:, 0], index) if floors else None
    scale = 1.0
    if supported.unseen is not None:
        scale = supported.unseen.scale(of_images(options.distances(found.worst[:, 0]), index))
    calibration = calibration_of(
        found.image_scores(index, look_alikes), found.sample, found.sample_of, suspicion, options,
        options.score(torch.tensor(scale)).item(),
    )  # fmt: skip
    return LearnedBank(
        table.names, options, supported.bank, calibration, suspicion, floors=supported.floors,
        look_alikes=look_alikes,
    )  # fmt: skip


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


@dataclass(frozen=True)
class Found:
    """A bank and its support, from which floors are chosen.

    Attributes:
        picks: ``(m,)`` int64, which of the M * P patches the bank is, in the order picked.
        vectors: ``(m, D)``.
        withheld: ``(w,)`` int64, rows of the images that are withheld.
        early: support of the vectors picked first, which are of other images than these, and in
            other images: anywhere, and near the same place where that is known.
        whole: the same of all vectors and in all images.
        spacing: see ``softpatch.bank.floors.spacing``.
        stand_ins: of the vectors.
    """

    picks: Tensor
    vectors: Tensor
    withheld: Tensor
    early: list[Support]
    whole: list[Support]
    spacing: float
    stand_ins: StandIns

    def candidates(self, supports: list[Support]) -> list[Floors]:
        """Floors by every rule that there can be."""
        return [
            Floors.of(supports[rule.near], rule, self.spacing)
            for rule in RULES
            if rule.near < len(supports)
        ]


def support_bank(table: PatchTable, options: BankOptions, run: Run) -> SupportedBank:
    """Pick the bank, find its support, and choose how strict its floors are."""
    found = find_support(table, options, run)
    rule, unseen = NO_FLOORS, None
    if len(found.withheld):
        candidates = found.candidates(found.early)
        early = found.vectors[: len(found.early[0])]
        distances = worst_scores(early, candidates, table, found.withheld)
        rule, place = choose(distances, candidates)
        unseen = Unseen(withheld_images(len(table.names)), distances[:, place])
    support = found.whole[rule.near]
    floors = Floors.of(support, rule, found.spacing)
    weights = torch.ones(len(found.picks), device=found.vectors.device)
    bank = MemoryBank(found.vectors, weights, floors=floors.every())
    return SupportedBank(bank, floors, support, found.picks, found.stand_ins, unseen)


def find_support(table: PatchTable, options: BankOptions, run: Run) -> Found:
    """Pick the bank from all images but those withheld, then go on with these, farthest-first."""
    images, positions, _ = table.shape
    index = table.image_index.cpu()
    kept_back = withheld_images(len(table.names))
    late = torch.isin(index, kept_back)
    withheld, others = late.nonzero().flatten(), (~late).nonzero().flatten()
    size = options.coreset_size(images * positions)
    first = max(1, size * len(others) // images)
    eligible = (~late).unsqueeze(1).expand(images, positions) if len(withheld) else None
    picks = table.coreset(first, eligible, options.seed, run)
    known = torch.arange(len(picks), device=picks.device)
    picks = _go_on(table, picks, withheld, size, options.seed, run)
    vectors = table.take(picks)
    device = vectors.device
    own = index[picks.cpu() // positions].to(device)
    places = (picks.cpu() % positions).to(device)
    beside = None
    if images == len(table.names):  # else positions of tiles, which differ between images
        beside = neighbourhood(table.grid, table.inside, positions)
    search = PictureSearch(vectors, own, places, max(RANKS) + 1, beside, run.scratch)
    _see(search, table, others, 0, run)
    early = [support.take(known.to(device)) for support in search.found()]
    _see(search, table, withheld, len(table.names) - len(kept_back), run)
    apart, like = spacing(vectors), search.like()
    stand_ins = StandIns(own.where(like >= 0, -1), table.take(like.clamp(min=0)))
    return Found(picks, vectors, withheld, early, search.found(), apart, stand_ins)


def withheld_images(images: int) -> Tensor:
    """``(w,)`` int64, ascending: which of that many images are withheld until floors are chosen."""
    count = min(WITHHELD, images // SHARE)
    return (torch.arange(count) * images) // max(1, count) + images // max(1, 2 * count)


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
        search.see(here.patches[at.to(device)], index[some].to(device), some)
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
