"""What a fit will take, told before it begins: time, memory, temporary space, size of the model.

A few pictures are embedded and a few positions looked at, here and now, and scaled up. Only the
coreset cannot be tried on a few: its cost grows with the square of the patches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from softpatch.bank.bounds import number_format
from softpatch.compute.scratch import RESERVE, ScratchSpace, resident_bytes

PROBE_IMAGES = 8  # pictures
# Time of a pair of patch and pick, as a share of the product of their rows: looking at the products
# and at few picks at a time costs as much again.
PAIR_SHARE = 2.0


@dataclass(frozen=True)
class FitCost:
    """What a method's own steps will take.

    Attributes:
        seconds: by step, as progress names them.
        arrays: bytes of the large arrays beside the patches, which may be spilled.
        model: bytes of the fitted state.
    """

    seconds: dict[str, float]
    arrays: list[int]
    model: int


@dataclass(frozen=True)
class Estimate:
    """What a fit will take.

    Attributes:
        images: training pictures.
        patches: of all of them.
        seconds: by step.
        memory: bytes resident at most.
        scratch: bytes of temporary files.
        model: bytes of the model file.
    """

    images: int
    patches: int
    seconds: dict[str, float]
    memory: int
    scratch: int
    model: int

    @property
    def total_seconds(self) -> float:
        """Of all steps."""
        return sum(self.seconds.values())


def coreset_seconds(members: int, picks: int, length: int) -> float:
    """Of picking so many of so many patches with sketches of that length, at the speed this machine
    multiplies matrices.
    """
    side = 2048
    dtype = number_format(torch.device("cpu"))
    left, right = torch.ones(side, length, dtype=dtype), torch.ones(length, side, dtype=dtype)
    pair = seconds(lambda: left @ right) / side**2
    return PAIR_SHARE * pair * members * picks


def seconds(work: Callable[[], object]) -> float:
    """Of the second call: the first one also warms up."""
    work()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def memory_and_scratch(arrays: list[int], limit: int | None) -> tuple[int, int]:
    """Bytes resident at most and bytes spilled of arrays made one after another."""
    allowed = ScratchSpace(limit).limit
    resident = resident_bytes() + RESERVE
    scratch = 0
    for size in arrays:
        if resident + size <= allowed:
            resident += size
        else:
            scratch += size
    return (max(resident, allowed) if scratch else resident), scratch
