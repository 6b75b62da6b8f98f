"""Tensors in a file that can be made again, such as a step of a fit: whole and undamaged, or not.

The content of a safetensors file and four bytes more, its CRC-32: a flipped bit in what is only
kept to save time would be in the model for good.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from softpatch.runtime.files import write_atomically

SUFFIX = ".safetensors"
CHECKSUM = 4  # bytes at the end
NAME = re.compile(r"[0-9a-f]+" + re.escape(SUFFIX))


def kept_path(folder: Path, key: str) -> Path:
    """Where tensors are kept in a folder under a key, a hexadecimal number."""
    return folder / f"{key}{SUFFIX}"


def is_kept(path: Path) -> bool:
    """Whether a file has the name of such tensors, and may be removed."""
    return NAME.fullmatch(path.name) is not None


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> int:
    """Write them in place of what is there; how many bytes that took.

    Raises:
        OSError: they cannot be written; what was there stays.
    """
    content = safetensors.torch.save(
        {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    )
    content += _checksum(content)
    write_atomically(path, content)
    return len(content)


def read_tensors(path: Path) -> dict[str, Tensor] | None:
    """What was written; None if nothing was, or if the file is damaged."""
    try:
        kept = path.read_bytes()
        content = kept[:-CHECKSUM]
        return safetensors.torch.load(content) if kept.endswith(_checksum(content)) else None
    except (OSError, SafetensorError):
        return None


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM, "little")
