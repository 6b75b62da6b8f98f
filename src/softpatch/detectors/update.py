"""Learn from new images without the old ones: a learned bank and a table of patches -> the next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.floors import Floors
from softpatch.bank.memory_bank import MemoryBank
from softpatch.bank.random_draw import random_draw
from softpatch.bank.stand_ins import StandIns
from softpatch.bank.support import PictureSearch, neighbourhood
from softpatch.detectors.calibration import HeldOut, recalibrate
from softpatch.detectors.learned_bank import LearnedBank
from softpatch.detectors.look_alikes import LookAlikes
from softpatch.detectors.patch_table import LocalPatches, PatchTable
from softpatch.detectors.reservoir import PatchReservoir, draw_union, without_share
from softpatch.detectors.run import Run
from softpatch.errors import DatasetError, UsageError
from softpatch.noise.discriminators import outlier_scores
from softpatch.noise.policy import NoisePolicy
from softpatch.noise.suspicion import finite, image_suspicion, suspects, worst_mean


@dataclass(frozen=True)
class UpdateScores:
    """What the bank's m vectors and the M * P new patches are worth, in this order.

    Attributes:
        weights: ``(m + M * P,)`` with which they are in the bank, or would enter it.
        admitted: ``(m + M * P,)`` bool, which of them may be in it.
        outlier: ``(r + M, P)`` outlier scores W of the reservoir and the new images; None without.
        images: the reservoir joined with the new images; None where none is kept.
    """

    weights: Tensor
    admitted: Tensor
    outlier: Tensor | None = None
    images: PatchReservoir | None = None


def update(
    learned: LearnedBank,
    table: LocalPatches,
    scores: UpdateScores,
    forget: float,
    run: Run,
) -> LearnedBank:
    """A learned bank with new images: their patches, and what the functions below make of these.

    ``forget``, in [0, 1), is the share of the bank's vectors that go first.
    """
    old, before, new = len(learned.bank), len(learned.image_names), len(table.names)
    device = table.patches.device
    seed = learned.options.seed + before + new  # every update has its own draws
    kept = without_share(old, forget, seed).to(device)
    share = new / ((1 - forget) * before + new)
    vectors = run.scratch.empty(len(scores.weights), table.shape[2])
    vectors[:old] = learned.bank.vectors
    vectors[old:] = table.flat
    if learned.options.at_random:
        picks = _draw(learned, len(table.flat), kept, share, seed)
    else:
        picks = _pick(learned, vectors, scores.admitted, kept, share, run)
    of_patch = table.image_index.repeat_interleave(table.shape[1])
    origin = torch.cat([of_patch.new_full((old,), -1), of_patch])[picks]
    floors = stand_ins = None
    if learned.floors is not None:
        floors, like = _floors(learned, learned.floors, vectors, picks, table, run)
        stand_ins = StandIns(origin.where(like >= 0, -1), table.flat[like.clamp(min=0)])
    bank = MemoryBank(
        vectors[picks], scores.weights[picks], floors=None if floors is None else floors.every()
    )
    suspicion, reservoir = learned.suspicion, learned.reservoir
    if scores.images is not None:
        suspicion = _suspicion(learned, table, scores)
        draw = learned.options.seed + before
        reservoir = scores.images.subsample(picks, len(table.image_index), share, draw)
    held_out = HeldOut(
        bank, learned.options, table.patches, table.image_index, origin,
        suspects(suspicion, device), before, floors, stand_ins=stand_ins,
    )  # fmt: skip
    look_alikes = learned.look_alikes
    if floors is not None:
        assert learned.suspicion is not None
        of_patches = held_out.patch_scores()
        of_new = image_suspicion(finite(of_patches), table.image_index)
        suspicion = torch.cat([learned.suspicion, of_new])
        if look_alikes is not None:
            looks, worst = table.patches.mean(dim=1), of_patches.amax(dim=1)
            more = LookAlikes.of(looks, worst, table.image_index)
            numbers = before + torch.arange(new, device=device)
            look_alikes = look_alikes.joined(more, numbers, share, learned.options.seed + before)
        held_out = replace(held_out, suspects=suspects(suspicion, device), look_alikes=look_alikes)
    return replace(
        learned,
        image_names=[*learned.image_names, *table.names],
        bank=bank,
        calibration=recalibrate(learned.calibration, held_out, share, run.progress),
        suspicion=suspicion,
        reservoir=reservoir,
        floors=floors,
        look_alikes=look_alikes,
    )


def admit_all(learned: LearnedBank, table: LocalPatches) -> UpdateScores:
    """Without a noise policy."""
    ones = torch.ones(len(learned.bank) + len(table.flat), device=table.patches.device)
    return UpdateScores(ones, ones > 0)


def score_update(
    learned: LearnedBank, compared: PatchTable, policy: NoisePolicy, run: Run
) -> UpdateScores:
    """Compare new images, as ``to_compare`` has them, and the reservoir with each other.

    Raises:
        DatasetError: images of another size.
    """
    if learned.reservoir is None:
        raise UsageError("the model keeps nothing that new pictures could be compared with")
    kept = learned.reservoir.patches.shape[1]
    if kept != compared.shape[1]:
        raise DatasetError(
            f"the new pictures have {compared.shape[1]} patches and those before {kept}; "
            "a model is updated with pictures of the same size"
        )
    new = PatchReservoir.of_new(compared, learned.reservoir.axes)
    numbers = len(learned.image_names) + torch.arange(len(compared.names))
    images = learned.reservoir.joined(new, numbers)
    outlier = outlier_scores(policy.discriminator, images.patches.float(), run.progress)
    known = images.bank_patch_index >= 0
    found = outlier.flatten()[images.bank_patch_index]
    old = slice(len(learned.bank))
    if policy.soft_weight:
        # Both are estimates (fewer images; 128-d patches), so take the geometric mean.
        mean = (learned.bank.weights * found[old]).sqrt()
        found[old] = torch.where(known[old], mean, learned.bank.weights)
    limit = torch.full_like(found, policy.cutoff(outlier))
    # Bank vectors are extreme by construction; at the plain cutoff a sixth of them would be evicted
    # for good at every update (ten took 0.006 of image AUROC on magnetic tile). They get twice the
    # margin in log W.
    limit[old] *= limit[old] / outlier.median()
    return UpdateScores(policy.weights(found), ~known | (found <= limit), outlier, images)


def _pick(
    learned: LearnedBank,
    vectors: Tensor,
    admitted: Tensor,
    kept: Tensor,
    share: float,
    run: Run,
) -> Tensor:
    """Which of the ``(n, D)`` old and new vectors are the bank from now on: int64, ascending.

    Those kept stay, thinned only where there is no room, and the new ones farthest from them
    join. Half of a coreset of both would be vectors of the new ones (of 12 bottles after 114),
    as all of their patches would compete with the few that stand for the old images. ``share`` is
    that of new images among all seen, and so of a bank without room for all.
    """
    options, old = learned.options, len(learned.bank)
    joining = max(1, int(options.coreset_ratio * (len(vectors) - old)))
    size = min(options.bank_size, len(kept) + joining)
    room = size - min(joining, max(1, int(share * size)))
    stay = kept[admitted[kept]]
    if len(stay) > room > 0:
        thinned = greedy_coreset(vectors[stay], room, seed=options.seed, scratch=run.scratch)
        stay = stay[thinned]
    stay = stay[:room]
    eligible = admitted.clone()
    eligible[:old] = False
    eligible[stay] = True
    picks = greedy_coreset(
        vectors, size, eligible=eligible, picked=stay, seed=options.seed,
        scratch=run.scratch, progress=run.progress,
    )  # fmt: skip
    return picks.sort().values


def _draw(learned: LearnedBank, patches: int, kept: Tensor, share: float, seed: int) -> Tensor:
    """What ``_pick`` returns, for a bank drawn at random and that many new patches.

    As many of the new ones are drawn as a fit would, and where there is no room for all, what stays
    is drawn from both, so that every patch seen is as likely to be in the bank as any other.
    """
    options, old = learned.options, len(learned.bank)
    joining = old + random_draw(patches, options.coreset_size(patches), seed).to(kept.device)
    draw = options.seed + len(learned.image_names)
    of_kept, of_joining = draw_union(len(kept), len(joining), options.bank_size, share, draw)
    return torch.cat([kept[of_kept.to(kept.device)], joining[of_joining.to(kept.device)]])


def _floors(
    learned: LearnedBank, floors: Floors, vectors: Tensor, picks: Tensor, table: LocalPatches,
    run: Run,
) -> tuple[Floors, Tensor]:  # fmt: skip
    """Of the picked ones, ascending, of ``(n, D)`` old and new vectors.

    And ``(m,)`` which of the new patches of other images is nearest to each, -1 for none.

    What a new vector has in old images is known by way of the old vector nearest to it.
    """
    old, before, device = len(learned.bank), len(learned.image_names), vectors.device
    positions = table.shape[1]
    if floors.rule.near and int(floors.support.places.max()) >= positions:
        raise DatasetError(
            f"the new pictures have {positions} patches and those before more; "
            "a model is updated with pictures of the same size"
        )
    joins = picks >= old
    patch = picks[joins] - old
    own = before + table.image_index[patch // positions]
    apart, nearest = learned.bank.with_floors(None).nearest(vectors[picks[joins]])
    through = floors.support.by_way_of(nearest, apart, own, patch % positions)
    support = floors.support.take(picks[~joins]).followed_by(through)
    beside = None
    if floors.rule.near:
        beside = neighbourhood(table.grid, table.inside, positions).to(device)
    search = PictureSearch(
        vectors[picks], support.own, support.places, support.count, beside, run.scratch
    )
    for image in table.image_index.unique().tolist():  # type: ignore[no-untyped-call]
        rows = (table.image_index == image).nonzero().flatten()
        search.see(table.patches[rows], before + table.image_index[rows], rows)
    support = support.and_in(search.found()[floors.rule.near])
    return Floors.of(support, floors.rule, floors.spacing), search.like()


def _suspicion(learned: LearnedBank, table: LocalPatches, scores: UpdateScores) -> Tensor:
    """Of all images; those in the reservoir are judged again, by all that is known now."""
    assert scores.outlier is not None
    assert scores.images is not None
    assert learned.suspicion is not None
    new = image_suspicion(scores.outlier[-len(table.image_index) :], table.image_index)
    suspicion = torch.cat([learned.suspicion, new])
    of = scores.images.image_index
    whole = of >= 0
    suspicion[of[whole]] = worst_mean(scores.outlier[whole])
    return suspicion
