"""One model from two that were fitted apart: a bank for a line whose cameras are the same."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.memory_bank import MemoryBank
from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors import SoftPatch
from softpatch.detectors.patchcore import MOST_HELD_OUT, MemoryBankDetector
from softpatch.detectors.reservoir import shift_indices, take_union
from softpatch.errors import NotFittedError, UsageError
from softpatch.storage.checkpoint import fingerprint
from softpatch.storage.lineage import Lineage


def merge(
    first: MemoryBankDetector,
    second: MemoryBankDetector,
    *,
    bank_size: int | None = None,
    progress: Progress = silent,
) -> MemoryBankDetector:
    """Bring the memory banks of two fitted models together in one.

    The bank is the greedy k-center coreset of both banks. A training patch within r of its own
    model's bank lies within r + ``covering_radius`` of the merged one (triangle inequality). Where
    each bank is a farthest-first coreset of m vectors and so is the merged one, that is at most
    four times what the best m vectors for all patches together would have (Malkomes et al. 2015).

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
        if not isinstance(model, MemoryBankDetector):
            raise UsageError(f"{model.method} has no memory bank that could be merged")
        if not model._fitted:
            raise NotFittedError(f"{type(model).__name__} has to be fitted before it is merged")
    for name, one, other in _differences(first, second):
        raise UsageError(f"cannot be merged: {name} is {one} in one and {other} in the other")
    parents = (first.digest(), second.digest())
    merged = copy(first)
    merged.bank_size = first.bank_size if bank_size is None else bank_size
    if merged.bank_size < 1:
        raise UsageError(f"bank_size must be at least 1, got {bank_size}")
    share = len(second.image_names_) / (len(first.image_names_) + len(second.image_names_))
    draw = first.seed + len(first.image_names_) + len(second.image_names_)
    with torch.inference_mode():
        merged.bank, picks = _union(first, second, merged.bank_size, progress)
        merged.normal_limit_ = (1 - share) * first.normal_limit_ + share * second.normal_limit_
        merged.held_out_ = merged.held_out_of_ = merged.threshold_ = None
        if first.held_out_ is not None and second.held_out_ is not None:
            merged.held_out_ = take_union(
                first.held_out_, second.held_out_, MOST_HELD_OUT, share, draw
            )
            if merged.max_false_alarms is not None:
                merged.choose_threshold(merged.max_false_alarms)
        if first.held_out_of_ is not None and second.held_out_of_ is not None:
            pictures, seen = second.held_out_of_.unbind(dim=1)
            of_second = torch.stack([shift_indices(pictures, len(first.image_names_)), seen], dim=1)
            merged.held_out_of_ = take_union(
                first.held_out_of_, of_second, MOST_HELD_OUT, share, draw
            )
        if isinstance(merged, SoftPatch) and isinstance(second, SoftPatch):
            other_suspicion = second.suspicion_.to(first.device)
            merged.suspicion_ = torch.cat([merged.suspicion_, other_suspicion])
            if merged.sample_ is None or second.sample_ is None:
                merged.sample_ = None
            else:
                both = merged.sample_.joined(second.sample_, len(first.image_names_))
                merged.sample_ = both.drawn(picks, len(second.sample_.patches), share, draw)
    merged.image_names_ = [*first.image_names_, *second.image_names_]
    version = 1 + max(first.lineage_.version, second.lineage_.version)
    merged.lineage_ = Lineage(version, parents)
    return merged


def covering_radius(vectors: Tensor, bank: MemoryBank) -> float:
    """How far the farthest of ``(n, D)`` vectors is from a bank's nearest."""
    return float(bank.nearest(vectors)[0].max())


def _union(
    first: MemoryBankDetector, second: MemoryBankDetector, size: int, progress: Progress
) -> tuple[MemoryBank, Tensor]:
    """The merged bank, and which of both banks' vectors it is."""
    vectors = torch.cat([first.bank.vectors, second.bank.vectors.to(first.device)])
    weights = torch.cat([first.bank.weights, second.bank.weights.to(first.device)])
    workspace = ScratchSpace(first.memory_limit, first.device)
    picks = greedy_coreset(
        first._picking_space(vectors, workspace),
        min(size, len(vectors)),
        seed=first.seed,
        scratch=workspace,
        progress=progress,
    )
    picks = picks.sort().values
    return MemoryBank(vectors[picks], weights[picks]), picks


def _differences(
    first: MemoryBankDetector, second: MemoryBankDetector
) -> Iterator[tuple[str, Any, Any]]:
    """What keeps two models from being merged: a name and both values."""
    described = [dict(_description(model)) for model in (first, second)]
    for name in described[0] | described[1]:
        one, other = (about.get(name) for about in described)
        if one != other:
            yield name, one, other


def _description(model: MemoryBankDetector) -> Iterator[tuple[str, Any]]:
    yield "method", model.method
    for name, value in vars(model.features).items():
        if name not in ("weights", "layers"):  # where the file lies; which layers None means
            yield name, value
    backbone = model._get_extractor().backbone
    yield "layers", backbone.layers
    yield "the backbone's weights", backbone.weights_hash
    for name, value in vars(model.preprocessing).items():
        yield name, value
    if model.roi is not None:
        yield "the region of interest", fingerprint(model.roi.mask)[:12]
    if isinstance(model, SoftPatch) and model.sample_ is not None:
        yield "patches of a picture", model.sample_.patches.shape[1]
    chosen = asdict(model.strategy) if isinstance(model, SoftPatch) else {}
    yield from {**model._parameters(), **chosen}.items()
