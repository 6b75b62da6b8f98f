"""What the numbers were measured on, and the meters they were measured with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from softpatch.benchmark.machine import reset_peak

T = TypeVar("T")

PACKAGES = ("softpatch", "torch", "timm", "numpy", "scikit-learn", "faiss-cpu", "anomalib")


def hardware() -> dict[str, Any]:
    """Processor, memory, threads and versions."""
    import torch

    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "memory_mb": _megabytes("/proc/meminfo", "MemTotal"),
        "torch_threads": torch.get_num_threads(),
        "mkl_threads": _mkl_threads(torch.__config__.parallel_info()),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def command(module: str) -> str:
    """What was typed, for the results."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def resident_mb() -> float | None:
    """What this process has in memory now; None where the system does not say (not Linux)."""
    return _megabytes("/proc/self/status", "VmRSS")


def peak_memory_mb() -> float | None:
    """The most it has had since ``reset_peak``.

    Not ``ru_maxrss``, which a process started with vfork, as ``subprocess`` does, inherits from
    its parent.
    """
    return _megabytes("/proc/self/status", "VmHWM")


class StepClock:
    """A ``progress`` callback: a step lasts from the end of the one before to its last call."""

    def __init__(self) -> None:
        self._ended = {"start": time.perf_counter()}

    def __call__(self, step: str, _done: int, _total: int) -> None:
        """Note that the step has come this far."""
        self._ended[step] = time.perf_counter()

    def seconds(self) -> dict[str, float]:
        """Of each step so far."""
        ended = self._ended
        return {step: ended[step] - ended[before] for before, step in pairwise(ended)}


class OtherWork:
    """How many cores other processes keep busy from now on.

    Above about 0.1 the times measured meanwhile are worth little: torch's threads wait for each
    other in loops, and where another process holds a core they can take ten times as long.
    """

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._own = time.process_time()
        self._busy = _busy_seconds()

    def cores(self) -> float | None:
        """On average so far; None where the system does not say (not Linux)."""
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        others = (busy - self._busy) - (time.process_time() - self._own)
        return max(0.0, others / (time.perf_counter() - self._started))


@dataclass(frozen=True)
class Meter:
    """What a piece of work took.

    Attributes:
        seconds: by the clock.
        extra_memory_mb: by how much the process grew at its peak; None where the system does not
            say.
    """

    seconds: float
    extra_memory_mb: float | None


def metered(work: Callable[[], T]) -> tuple[T, Meter]:
    """Run ``work`` once; what it returned, and what it took."""
    before = resident_mb()
    reset_peak()
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    peak = peak_memory_mb()
    grown = max(0.0, peak - before) if peak is not None and before is not None else None
    return result, Meter(seconds, grown)


def _mkl_threads(parallel_info: str) -> int | None:
    for line in parallel_info.splitlines():
        if "mkl_get_max_threads" in line:
            return int(line.split(":")[1])
    return None


def _busy_seconds() -> float | None:
    """Seconds all cores together have been busy since the system started (Linux)."""
    try:
        ticks = [int(part) for part in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, *others = ticks
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")


def _megabytes(file: str, name: str) -> float | None:
    kilobytes = _field(file, name)
    return int(kilobytes.split()[0]) * 1024 / 1e6 if kilobytes else None


def _field(file: str, name: str) -> str | None:
    """The first ``name: value`` of a file under /proc; None where there is none."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
