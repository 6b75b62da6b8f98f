"""One budget for all temporary tensors: chunk sizes follow from it, results never do."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_BYTES = 64 * 2**20


def chunks(length: int, bytes_per_item: int) -> Iterator[slice]:
    """Cut ``range(length)`` into slices whose temporaries fit ``CHUNK_BYTES``."""
    step = max(1, CHUNK_BYTES // bytes_per_item)
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
