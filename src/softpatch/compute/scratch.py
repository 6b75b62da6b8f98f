"""Bounded memory: where large arrays live, and how large temporaries may be.

Chunk sizes follow from here; results never depend on them.
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
RESERVE = 512 * 2**20  # of a limit, kept for the network's activations and all temporaries
TRIM_SECONDS = 0.005
LEAST_MAPPED = 128 * 2**20  # bytes of spilled arrays that stay resident whatever the limit
CONTROL_GROUP = Path("/sys/fs/cgroup")
FREE_UNKNOWN = 8 * 2**30  # assumed free where the system does not say


def chunks(length: int, bytes_per_item: int, most: int = sys.maxsize) -> Iterator[slice]:
    """Cut ``range(length)`` into slices, ``most`` at most, with temporaries of ``CHUNK_BYTES``."""
    step = max(1, min(most, CHUNK_BYTES // bytes_per_item))
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
        trim()


class ScratchSpace:
    """Large arrays in memory while they fit, then in memory-mapped temporary files.

    A spilled array is an ordinary tensor over a memory-mapped file. Its pages are handed back to
    the system whenever the process grows beyond the limit: after every chunk and, whatever the
    access pattern, by a thread; the system's file cache holds them as long as it can. The files
    have no name and vanish with the last tensor over them, however the process ends.

    Attributes:
        limit: bytes the whole process may have resident.
        spilled: bytes of the arrays that went to files.
    """

    def __init__(self, limit: int | None = None, device: torch.device | None = None) -> None:
        """Allocate nothing yet.

        Args:
            limit: see the class; a share of the available memory if None.
            device: holds the arrays; only the CPU's are limited.
        """
        self.device = device or torch.device("cpu")
        if limit is None:
            limit = resident_bytes() + int(DEFAULT_SHARE * available_bytes())
        self.limit = limit
        self.spilled = 0
        self._mapped = _Mapped(limit - RESERVE // 2)

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Allocate an uninitialised array; fill it before allocating the next.

        Raises:
            ScratchError: it has to be spilled and the disk has no room for it.
        """
        size = math.prod(shape) * dtype.itemsize
        self._mapped.hand_back()
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
        if hasattr(mmap, "MADV_RANDOM"):
            # Without MADV_RANDOM the kernel maps up to 2 MB per page touched: reading one position
            # of 229 images took 445 MB instead of 15.
            mapped.madvise(mmap.MADV_RANDOM)
        self._mapped.add(mapped)
        return mapped


class _Mapped:
    """Memory maps, and the size of the process above which their pages are handed back."""

    def __init__(self, limit: int) -> None:
        self.maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()  # gone with their tensors
        self.limit = limit
        self.files_before = _resident()[1]  # libraries, mostly
        self.thread: threading.Thread | None = None

    def add(self, mapped: mmap.mmap) -> None:
        self.maps.add(mapped)
        _all_mapped.add(self)
        if self.thread is None or not self.thread.is_alive():
            self.thread = threading.Thread(target=self.watch, daemon=True)
            self.thread.start()

    def watch(self) -> None:
        """Trim for as long as there are any maps."""
        while self.maps:
            self.trim()
            time.sleep(TRIM_SECONDS)

    def trim(self) -> None:
        if not self.maps:
            return
        resident, files = _resident()
        # A limit below the size of the rest of the process must not mean one page at a time.
        rest = resident - files + self.files_before
        if resident > max(self.limit, rest + LEAST_MAPPED):
            self.hand_back()

    def hand_back(self) -> None:
        """Drop the maps' pages from memory; the files keep what was written."""
        for mapped in list(self.maps):
            if hasattr(mapped, "madvise"):  # Windows has none, and drops pages by itself
                mapped.madvise(mmap.MADV_DONTNEED)


_all_mapped: weakref.WeakSet[_Mapped] = weakref.WeakSet()


def trim() -> None:
    """Hand back the pages of spilled arrays if the process has become too large.

    The thread that also does so may wait long for its turn while other processes hold the cores.
    """
    for mapped in list(_all_mapped):
        mapped.trim()


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say (not Linux)."""
    return _resident()[0]


def _resident() -> tuple[int, int]:
    """Resident bytes, and how many of them are pages of files, spilled arrays included."""
    try:
        # Called after every chunk: 15 us, against 24 when read as text.
        with Path("/proc/self/statm").open("rb", buffering=0) as statm:
            fields = statm.read().split()
    except OSError:
        return 0, 0
    return int(fields[1]) * mmap.PAGESIZE, int(fields[2]) * mmap.PAGESIZE


def available_bytes() -> int:
    """Memory this process may still take: free, and within its control group's limit."""
    return min(_free_bytes(), _control_group_bytes())


def _free_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return FREE_UNKNOWN
    fields = {line.split(":")[0]: line.split()[1] for line in lines}
    return int(fields["MemAvailable"]) * 1024


def _control_group_bytes() -> int:
    """Bytes left below a container's limit; ``sys.maxsize`` if there is none."""
    try:
        limit = int((CONTROL_GROUP / "memory.max").read_text())
        used = int((CONTROL_GROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no control group, or "max"
        return sys.maxsize
    return max(0, limit - used)
