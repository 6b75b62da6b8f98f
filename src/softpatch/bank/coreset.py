"""Greedy k-center coreset: which patches enter the memory bank (METHOD: denoise, then coreset).

The rule is the plain farthest-first one: pick the patch farthest from all picks so far, update
everyone's distance, repeat. Done literally that is one pass over all n patches a pick (412 s for
16.4k picks of 164k patches on 2 cores). The picks here are the same, found lazily:

* *Blocks.* Distances only shrink, so a stale distance is an upper bound. Bring the B patches with
  the largest distances up to date, and run the rule inside that block for as long as the block's
  best beats everything outside it.
* *Bounds.* Low-precision bounds bring most stale distances below the block's without computing any
  distance (see ``coreset_distances``); patches whose stale distance is already below are skipped.

A float64 distance decides every pick, so that the picks do not depend on block, chunk or thread
count.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from softpatch.bank.coreset_distances import CoresetDistances
from softpatch.bank.selection import split_largest
from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import ScratchSpace, chunks
from softpatch.errors import UsageError

BLOCK = 1024
TIGHTENED = 16  # blocks of members whose bounds are updated before any of them is resolved
STEP = "picks"  # in a checkpoint


class StepStore(Protocol):
    """Keeps named tensors of a long computation, so that a killed one can go on."""

    def get(self, step: str) -> dict[str, Tensor] | None:
        """What ``put`` kept last of the step; None if nothing."""
        ...

    def put(self, step: str, tensors: dict[str, Tensor]) -> None:
        """Keep the tensors of a step in place of those kept before."""
        ...


def greedy_coreset(
    patches: Tensor,
    size: int,
    *,
    eligible: Tensor | None = None,
    picked: Tensor | None = None,
    seed: int = 0,
    scratch: ScratchSpace | None = None,
    checkpoint: StepStore | None = None,
    progress: Progress = silent,
) -> Tensor:
    """Pick patches farthest-first.

    Args:
        patches: ``(n, D)`` float32.
        size: how many to pick. Fewer are returned when fewer distinct ones are eligible.
        eligible: ``(n,)`` bool; the others are neither picked nor covered. All if None.
        picked: ``(p,)`` int64 indices of eligible patches that are picks already and count towards
            ``size``; the rule goes on from them.
        seed: draws the patches whose mean distance starts the rule.
        scratch: holds the sketches of all patches; a new space if None.
        checkpoint: keeps the picks so far; without ``picked``, the rule goes on from those in it.
        progress: called with the number of picks.

    Returns:
        ``(size,)`` int64 indices into ``patches``, in the order picked. Equal distances go to
        the lower index.

    Raises:
        UsageError: no eligible patch, or size below 1.
    """
    if patches.ndim != 2:
        raise UsageError(f"patches must be (n, D), got shape {tuple(patches.shape)}")
    if size < 1:
        raise UsageError(f"the coreset must hold at least 1 patch, got {size}")
    everyone = torch.arange(len(patches), device=patches.device)
    members = everyone if eligible is None else everyone[eligible]
    if len(members) == 0:
        raise UsageError("no patch may enter the coreset: everything was rejected as an outlier")
    scratch = scratch or ScratchSpace(device=patches.device)
    return _LazyGreedy(patches, members, seed, scratch, checkpoint).run(size, picked, progress)


class _LazyGreedy:
    """State of one run."""

    def __init__(
        self,
        patches: Tensor,
        members: Tensor,
        seed: int,
        scratch: ScratchSpace,
        checkpoint: StepStore | None,
    ) -> None:
        self.patches = patches
        self.members = members
        self.distances = CoresetDistances(patches, members, seed, scratch)
        self.checkpoint = checkpoint
        self.outside: list[float] = []  # for every block, the largest distance outside it

    @property
    def picks(self) -> Tensor:
        return self.members[self.distances.picks]

    def run(self, size: int, picked: Tensor | None, progress: Progress) -> Tensor:
        size = min(size, len(self.members))
        self._go_on_from(self._picked_before() if picked is None else picked)
        while len(self.picks) < size:
            block, outside = self._farthest_block()
            chosen = self._greedy_within(block, outside, size - len(self.picks))
            if len(chosen) == 0:
                break  # every eligible patch equals a pick
            self.distances.add(chosen)
            if self.checkpoint is not None:
                self.checkpoint.put(STEP, {STEP: self.picks})
            progress("coreset", len(self.picks), size)
        progress("coreset", size, size)
        return self.picks

    def _picked_before(self) -> Tensor:
        """The picks of a killed run."""
        kept = None if self.checkpoint is None else self.checkpoint.get(STEP)
        return self.members[:0] if kept is None else kept[STEP].to(self.members.device)

    def _go_on_from(self, picked: Tensor) -> None:
        place = torch.empty(len(self.patches), dtype=torch.long, device=picked.device)
        place[self.members] = torch.arange(len(self.members), device=picked.device)
        self.distances.add(place[picked])

    def _farthest_block(self) -> tuple[Tensor, float]:
        """The ``BLOCK`` farthest members in index order, and the largest distance outside them."""
        distances, distance = self.distances, self.distances.distance
        count = min(BLOCK, len(distance))
        distances.update_bounds((distance >= self._expected()).nonzero().flatten())
        exact = distances.is_exact()
        best, stale = distance[exact], (~exact).nonzero().flatten()
        bar = _kth_largest(best, count + 1)
        while len(stale := stale[distance[stale] >= bar]):
            # Bounds of 16,384 at a time cost little, and leave few to be resolved.
            rows, stale = split_largest(stale, distance[stale], TIGHTENED * BLOCK)
            distances.update_bounds(rows)
            exact = distances.is_exact(rows)
            best = torch.cat([best, distance[rows[exact]]])
            bar = _kth_largest(best, count + 1)
            rows = rows[~exact]
            rows = rows[distance[rows] >= bar]
            distances.tighten(rows)
            rows = rows[distance[rows].argsort(descending=True)]
            for chunk in chunks(len(rows), bytes_per_item=8, most=BLOCK):
                part = rows[chunk]
                part = part[distance[part] >= bar]
                if len(part) == 0:
                    break
                distances.resolve(part)
                best = torch.cat([best[best >= bar], distance[part]])
                bar = _kth_largest(best, count + 1)
        self.outside.append(bar)
        block = (distance > bar).nonzero().flatten()
        ties = (distance == bar).nonzero().flatten()
        return torch.cat([block, ties[: count - len(block)]]).sort().values, bar

    def _expected(self) -> float:
        """The largest distance outside the next block, extrapolated from the last two.

        Early on most distances are above it. Updating these in the order of a file instead of by
        distance spares a third of the page faults where the sketches are spilled to one.
        """
        if len(self.outside) < 2:
            return 0.0
        before, last = self.outside[-2:]
        return last * last / before if before > 0 else 0.0

    def _greedy_within(self, block: Tensor, outside: float, limit: int) -> Tensor:
        """Run the rule inside the block while its farthest member beats everything outside."""
        patches = self.patches[self.members[block]].cpu().numpy()
        may_be_nearer = np.ascontiguousarray(self.distances.may_be_nearer(block).cpu().numpy())
        distance = self.distances.distance[block].cpu().numpy().copy()
        chosen: list[int] = []
        while len(chosen) < limit:
            best = int(distance.argmax())
            # A block's first is the farthest of all; later ones must not tie with the outside,
            # where a lower index might wait. At distance 0 only copies of picks are left.
            if chosen and distance[best] <= outside:
                break
            if distance[best] == 0 and (chosen or len(self.picks)):
                break
            chosen.append(best)
            near = may_be_nearer[best].nonzero()[0]
            # Mostly three patches: pair_distances takes 30 us a call, little of it for arithmetic.
            difference = np.subtract(patches[near], patches[best], dtype=np.float64)
            exact = np.sqrt(np.einsum("pd,pd->p", difference, difference))
            distance[near] = np.minimum(distance[near], exact)
        return block[torch.tensor(chosen, dtype=torch.long, device=block.device)]


def _kth_largest(values: Tensor, k: int) -> float:
    """The k-th largest of the values; -1 if there are fewer."""
    if k > len(values):
        return -1.0
    if values.is_cuda:
        return float(values.topk(k).values[-1])
    # A fifth of topk's time for 150,000 values.
    return float(np.partition(values.numpy(), len(values) - k)[len(values) - k])
