"""One model from two that were fitted apart: a bank for a line whose cameras are the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.floor_rule import FloorRule
from softpatch.bank.floors import Floors, spacing
from softpatch.bank.memory_bank import MemoryBank
from softpatch.calling.threshold import MOST_HELD_OUT
from softpatch.compute.progress import Progress, silent
from softpatch.detectors.bank_detector import BankDetector
from softpatch.detectors.calibration import Calibration
from softpatch.detectors.learned_bank import LearnedBank
from softpatch.detectors.reservoir import draw_union, renumber, take_union
from softpatch.detectors.run import Run
from softpatch.errors import UsageError
from softpatch.storage.checkpoint import fingerprint
from softpatch.storage.lineage import Lineage


def merge(
    first: BankDetector,
    second: BankDetector,
    *,
    bank_size: int | None = None,
    progress: Progress = silent,
) -> BankDetector:
    """Bring the memory banks of two fitted models together in one.

    The bank is the greedy k-center coreset of both banks. A training patch within r of its own
    model's bank is within r + ``covering_radius`` of the merged one (triangle inequality). Where
    each bank is a farthest-first coreset of m vectors and so is the merged one, that is at most
    four times what the best m vectors for all patches together would have (Malkomes et al. 2015).
    Banks drawn at random are drawn from, so that a patch of either model is as likely to be left.

    An image that both have learned, the same file by its digest, counts once: what is like it in
    itself speaks for nothing, and the first model's score is the one that a threshold rests on.

    Args:
        first: fitted; the merged model takes its seed and options of the run.
        second: fitted, of the same method, features and options.
        bank_size: vectors at most; as both models have it if None.
        progress: as in ``fit``.

    Raises:
        NotFittedError: a model is not fitted.
        UsageError: the models differ; the message names the first difference.
    """
    for model in (first, second):
        if not isinstance(model, BankDetector):
            raise UsageError(f"a {model.method} model cannot be merged")
    one, other = first.learned_, second.learned_
    for name, here, there in _differences(first, second):
        raise UsageError(f"cannot be merged: {name} is {here} in one and {there} in the other")
    merged = first.clone(**({} if bank_size is None else {"bank_size": bank_size}))
    with torch.inference_mode():
        numbers = _numbers(first, second)
        merged._learned = merge_learned(
            one, other, numbers, merged.bank_size, merged._run(progress)
        )
    version = 1 + max(first.lineage_.version, second.lineage_.version)
    if first.appearance_ is not None and second.appearance_ is not None:
        merged.appearance_ = first.appearance_.joined(second.appearance_)
    new = (numbers >= len(one.image_names)).tolist()
    merged.digests_ = [*first.digests_, *itertools.compress(second.digests_, new)]
    merged.lineage_ = Lineage(version, (first.digest(), second.digest()))
    return merged


def _numbers(first: BankDetector, second: BankDetector) -> Tensor:
    """``(n,)`` int64, which of all images each of the second model's is: one of the first, or new.

    By digests; of what has none it is not known.
    """
    known = {digest: at for at, digest in reversed(list(enumerate(first.digests_))) if digest}
    new = itertools.count(len(first.image_names_))
    digests = second.digests_ or [None] * len(second.image_names_)
    return torch.tensor([known[digest] if digest in known else next(new) for digest in digests])


def merge_learned(
    one: LearnedBank, other: LearnedBank, numbers: Tensor, bank_size: int, run: Run
) -> LearnedBank:
    """What two fits with the same options have learned, in one bank of that size at most.

    ``numbers`` ``(n,)`` int64 says which of all images each of the other's is.
    """
    before = len(one.image_names)
    new = numbers >= before
    after = int(new.sum())
    options = replace(one.options, bank_size=bank_size)
    device = one.bank.vectors.device
    vectors = torch.cat([one.bank.vectors, other.bank.vectors.to(device)])
    weights = torch.cat([one.bank.weights, other.bank.weights.to(device)])
    share, draw = after / (before + after), options.seed + before + after
    if options.at_random:
        apart = one.bank.nearest(vectors[len(one.bank) :])[0] > 0
        joining = len(one.bank) + apart.cpu().nonzero().flatten()
        of_one, of_other = draw_union(len(one.bank), len(joining), bank_size, share, draw)
        picks = torch.cat([of_one, joining[of_other]]).to(device)
    else:
        picks = greedy_coreset(
            vectors, min(bank_size, len(vectors)), seed=options.seed, scratch=run.scratch,
            progress=run.progress,
        )  # fmt: skip
    floors = _floors(one, other, numbers, vectors, picks)
    picks = picks.sort().values
    if floors is not None:
        floors = replace(floors, support=floors.support.take(picks))
    suspicion, reservoir = one.suspicion, one.reservoir
    if suspicion is not None and other.suspicion is not None:
        found = other.suspicion.to(device)
        suspicion = torch.cat([suspicion, found[new]])
        suspicion = suspicion.scatter_reduce(0, numbers.to(device), found, "amax")
    if reservoir is not None and other.reservoir is not None:
        both = reservoir.joined(other.reservoir, numbers)
        more = len(both.patches) - len(reservoir.patches)
        reservoir = both.subsample(picks, more, share, draw)
    look_alikes = None
    if one.look_alikes is not None and other.look_alikes is not None:
        look_alikes = one.look_alikes.joined(other.look_alikes, numbers, share, draw)
    return replace(
        one,
        image_names=[*one.image_names, *itertools.compress(other.image_names, new.tolist())],
        options=options,
        bank=MemoryBank(
            vectors[picks], weights[picks], floors=None if floors is None else floors.every()
        ),
        calibration=_merged(one.calibration, other.calibration, numbers, share, draw).chosen(
            options.max_false_alarms, options.look_share
        ),
        suspicion=suspicion,
        reservoir=reservoir,
        floors=floors,
        look_alikes=look_alikes,
    )


def _floors(
    one: LearnedBank, other: LearnedBank, numbers: Tensor, vectors: Tensor, picks: Tensor
) -> Floors | None:
    """Of the ``(m + m', D)`` vectors of both, by the less strict rule; None of banks without.

    What a vector has in the other model's images is known by way of that model's nearest vector.
    """
    if one.floors is None or other.floors is None:
        return None
    device = vectors.device
    of_one, moved = one.floors.support, other.floors.support.to(device)
    of_other = replace(
        moved,
        own=renumber(moved.own, numbers),
        pictures=renumber(moved.pictures, numbers),
    )
    rules = (one.floors.rule, other.floors.rule)
    rule = FloorRule(
        rank=min(rule.rank for rule in rules),
        near=all(rule.near for rule in rules),
        spread=min(rule.spread for rule in rules),
    )
    sides = []
    for own, others, bank in ((of_one, of_other, other.bank), (of_other, of_one, one.bank)):
        part = slice(0, len(of_one)) if own is of_one else slice(len(of_one), None)
        apart, nearest = bank.with_floors(None).nearest(vectors[part].to(bank.vectors.device))
        through = others.by_way_of(nearest.to(device), apart.to(device), own.own, own.places)
        sides.append(own.and_in(through))
    space = max(one.floors.spacing, other.floors.spacing, spacing(vectors[picks]))
    return Floors.of(sides[0].followed_by(sides[1]), rule, space)


def _merged(
    one: Calibration, other: Calibration, numbers: Tensor, share: float, draw: int
) -> Calibration:
    limit = (1 - share) * one.normal_limit + share * other.normal_limit
    held_out, held_out_of = one.held_out, one.held_out_of
    if held_out is None or held_out_of is None:
        return Calibration(limit)
    if other.held_out is None or other.held_out_of is None:
        return Calibration(limit)
    images, seen = other.held_out_of.unbind(dim=1)
    of_other = torch.stack([renumber(images, numbers), seen], dim=1)
    renumbered = ((int(numbers[at]), seen, score) for at, seen, score in other.known_bad)
    bad = {row[0]: row for row in (*renumbered, *one.known_bad)}
    known_bad = held_out_of.new_tensor(list(bad))
    good = ~torch.isin(held_out_of[:, 0], known_bad)
    known = torch.cat([known_bad, held_out_of[:, 0]]).to(of_other.device)
    new = ~torch.isin(of_other[:, 0], known)
    if not bool(good.any() | new.any()):  # each model has been told that the other's are bad
        return Calibration(limit)
    return Calibration(
        limit,
        None,
        take_union(held_out[good], other.held_out[new], MOST_HELD_OUT, share, draw),
        take_union(held_out_of[good], of_other[new], MOST_HELD_OUT, share, draw),
        known_good=tuple(
            sorted({*one.known_good, *numbers[list(other.known_good)].tolist()} - set(bad))
        ),
        known_bad=tuple(sorted(bad.values())),
        scale=(1 - share) * one.scale + share * other.scale,
    )


def covering_radius(vectors: Tensor, bank: MemoryBank) -> float:
    """How far the farthest of ``(n, D)`` vectors is from a bank's nearest, whatever its floors."""
    return float(bank.with_floors(None).nearest(vectors)[0].max())


def _differences(first: BankDetector, second: BankDetector) -> Iterator[tuple[str, Any, Any]]:
    """What keeps two models from being merged: a name and both values."""
    described = [dict(_description(model)) for model in (first, second)]
    for name in described[0] | described[1]:
        one, other = (about.get(name) for about in described)
        if one != other:
            yield name, one, other


def _description(model: BankDetector) -> Iterator[tuple[str, Any]]:
    yield "method", model.method
    for name, value in vars(model.features).items():
        if name not in ("weights", "layers"):  # where the file lies; which layers None means
            yield name, value
    backbone = model.extractor.backbone
    yield "layers", backbone.layers
    yield "the backbone's weights", backbone.weights_hash
    for name, value in vars(model.preprocessing).items():
        yield name, value
    if model.roi is not None:
        yield "the region of interest", fingerprint(model.roi.mask)[:12]
    reservoir, policy = model.learned_.reservoir, model._policy()
    if reservoir is not None:
        yield "patches of a picture", reservoir.patches.shape[1]
    yield from model._parameters().items()
    if policy is not None:
        yield from {
            "discriminator": policy.name, "tau": policy.tau, "soft_weight": policy.soft_weight,
        }.items()  # fmt: skip
