"""Bounded memory: where large arrays live, and how large temporaries may be.

Sizes follow from here; results never do.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from softpatch.errors import ScratchError

CHUNK_BYTES = 64 * 2**20
DEFAULT_SHARE = 0.5  # of the available memory, where no limit is given
RESERVE = 512 * 2**20  # of a limit: the network's activations and all temporaries
TRIM_SECONDS = 0.005
LEAST_MAPPED = 128 * 2**20  # of spilled arrays stay resident whatever the limit
CONTROL_GROUP = Path("/sys/fs/cgroup")
FREE_UNKNOWN = 8 * 2**30  # taken for free where the system does not tell


def chunks(length: int, bytes_per_item: int, most: int = sys.maxsize) -> Iterator[slice]:
    """Cut ``range(length)`` into slices of ``most`` whose temporaries fit ``CHUNK_BYTES``."""
    step = max(1, min(most, CHUNK_BYTES // bytes_per_item))
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


class Workspace:
    """Large arrays in memory while they fit, then in temporary files that are read page by page.

    A spilled array is an ordinary tensor over a memory-mapped file. A thread hands its pages back
    to the system whenever the process grows beyond the limit, so that it stays small whatever the
    access pattern; the system's file cache keeps them near as long as it can. The files have no
    name, and go with the last tensor over them: however the process ends, nothing stays behind.

    Attributes:
        limit: bytes the whole process may have resident.
        spilled: bytes of the arrays that went to files.
    """

    def __init__(self, limit: int | None = None, device: torch.device | None = None) -> None:
        """Prepare an empty workspace.

        Args:
            limit: see the class; a share of what is available if None.
            device: where the arrays are wanted; only those of the CPU are limited.
        """
        self.device = device or torch.device("cpu")
        if limit is None:
            limit = resident_bytes() + int(DEFAULT_SHARE * available_bytes())
        self.limit = limit
        self.spilled = 0
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()  # gone with their tensors
        self._trimmer: threading.Thread | None = None

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """An uninitialised array; fill it before asking for the next.

        Raises:
            ScratchError: it has to be spilled and there is no room for it.
        """
        size = math.prod(shape) * dtype.itemsize
        _hand_back(self._maps)
        if self.device.type != "cpu" or resident_bytes() + size + RESERVE <= self.limit:
            return torch.empty(shape, dtype=dtype, device=self.device)
        if size == 0:  # cannot be mapped
            return torch.empty(shape, dtype=dtype)
        self.spilled += size
        return torch.frombuffer(self._map(size), dtype=dtype).view(shape)

    def _map(self, size: int) -> mmap.mmap:
        folder = tempfile.gettempdir()
        with tempfile.TemporaryFile(prefix="softpatch-") as file:
            try:
                if hasattr(os, "posix_fallocate"):  # or a full disk would end the process later
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.truncate(size)
            except OSError as error:
                raise ScratchError(
                    f"{folder}: {size / 1e9:.1f} GB of temporary space are needed and "
                    f"{shutil.disk_usage(folder).free / 1e9:.1f} GB are free; set TMPDIR to a "
                    "larger disk, raise the memory limit, or use fewer or smaller pictures"
                ) from error
            mapped = mmap.mmap(file.fileno(), size)
        self._maps.add(mapped)
        if self._trimmer is None or not self._trimmer.is_alive():
            arguments = (self._maps, self.limit - RESERVE // 2)
            self._trimmer = threading.Thread(target=_trim, args=arguments, daemon=True)
            self._trimmer.start()
        return mapped


def _trim(maps: weakref.WeakSet[mmap.mmap], limit: int) -> None:
    """Hand the maps' pages back whenever the process is too large, for as long as there are any."""
    threshold = limit
    while maps:
        if resident_bytes() > threshold:
            _hand_back(maps)
            # A limit below what the rest of the process takes must not mean a page at a time.
            threshold = max(limit, resident_bytes() + LEAST_MAPPED)
        time.sleep(TRIM_SECONDS)


def _hand_back(maps: weakref.WeakSet[mmap.mmap]) -> None:
    """Make the maps' pages not resident; the files keep what was written."""
    for mapped in list(maps):
        if hasattr(mapped, "madvise"):  # not on Windows, where the system sees to it
            mapped.madvise(mmap.MADV_DONTNEED)


def resident_bytes() -> int:
    """What this process has in memory now; 0 where the system does not tell (not Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * mmap.PAGESIZE


def available_bytes() -> int:
    """What this process may still take: free memory, within its control group's limit."""
    return min(_free_bytes(), _control_group_bytes())


def _free_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return FREE_UNKNOWN
    fields = {line.split(":")[0]: line.split()[1] for line in lines}
    return int(fields["MemAvailable"]) * 1024


def _control_group_bytes() -> int:
    """What a container's limit leaves; the machine's size where there is none."""
    try:
        limit = int((CONTROL_GROUP / "memory.max").read_text())
        used = int((CONTROL_GROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no control group, or "max"
        return sys.maxsize
    return max(0, limit - used)
