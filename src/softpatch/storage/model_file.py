"""The tensors of a model file as torch has them; ``model_bytes`` says how they lie in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from softpatch.compute.scratch import available_bytes
from softpatch.errors import ModelFileError, OutOfMemoryError
from softpatch.storage import model_bytes
from softpatch.storage.model_bytes import KEY, TENSORS, checksum_of, damaged, not_finite

LARGEST_NUMBER = 1e9  # in an array; patches reach hundreds, and more would overflow a score
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "C64": torch.complex64, "I64": torch.int64, "I32": torch.int32, "I16": torch.int16,
    "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def write(path: Path, header: dict[str, Any], state: dict[str, Tensor]) -> None:
    """Write a header and tensors; see ``model_bytes.write``."""
    model_bytes.write(path, content(header, state))


def content(header: dict[str, Any], state: dict[str, Tensor]) -> bytes:
    """The bytes of a model file with this header and these tensors."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    unknown = tensors.keys() - TENSORS
    if unknown:
        raise ValueError(f"no model has a tensor called {min(unknown)}, so none would be read")
    checksums = {name: checksum_of(_bytes_of(tensor)) for name, tensor in tensors.items()}
    about = {KEY: model_bytes.metadata(header, checksums)}
    return model_bytes.sealed(bytearray(save(tensors, metadata=about)))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read header and tensors.

    Raises:
        ModelFileError: the file is missing, cut, damaged, no model, of a newer format, or holds NaN
            or infinite values.
        OutOfMemoryError: its tensors do not fit into memory.
    """
    with model_bytes.opened(path) as (file, contents):
        known = {name: place for name, place in contents.places.items() if name in TENSORS}
        _need_memory(path, sum(place.size for place in known.values()))
        state = {}
        for name, place in known.items():
            read = torch.empty(place.size, dtype=torch.uint8)
            file.seek(place.start)
            if file.readinto(_bytes_of(read)) != place.size:  # type: ignore[attr-defined]
                raise ValueError("it has become shorter")
            sums = contents.checksums
            if sums is not None and sums.get(name) != checksum_of(_bytes_of(read)):
                raise ModelFileError(damaged(path, f"tensor {name}"))
            state[name] = read.view(DTYPES[place.dtype]).view(place.shape)
    for key, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelFileError(not_finite(path, key))
    return contents.header, state


def _need_memory(path: Path, size: int) -> None:
    free = available_bytes()
    if size > free:
        raise OutOfMemoryError(
            f"{path}: not enough memory to load it: its tensors take {size / 1e6:.0f} MB and "
            f"{free / 1e6:.0f} MB are free"
        )


def _bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor."""
    return tensor.view(-1).view(torch.uint8).numpy().data
