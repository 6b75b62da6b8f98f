"""The model file: safetensors tensors and a JSON header. Opening one can never run code.

Layout: a safetensors file whose metadata holds one entry, ``softpatch``: a JSON object with
``format`` (an integer), ``method``, ``features``, ``parameters``, ``preprocessing``, ``backbone``
(name, layers, sha256 of its weights), ``images`` and ``normal_limit``, an ``intensity`` among
features and preprocessing where it is not that of 16 bits, ``digests`` of the images,
``appearance``, between which measurements nearly all of them lie, and ``lineage`` in later versions
of a model. Instead of the backbone's weights it has their hash, which is checked on loading.
Nothing in it depends on time or place, so the same fit gives the same bytes.

``checksums`` has the CRC-32 of each tensor's bytes, and ``checksum`` that of all bytes from the
first ``{`` to the tensors, with zeros in its own place. So one flipped bit anywhere is noticed.
Files of earlier versions have neither.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import save
from torch import Tensor

from softpatch.compute.scratch import available_bytes
from softpatch.errors import ModelFileError, OutOfMemoryError, is_out_of_memory, memory_needed
from softpatch.runtime.files import write_atomically
from softpatch.storage.lock import changing

FORMAT = 1
KEY = "softpatch"
LARGEST_NUMBER = 1e9  # in an array; patches reach hundreds, and more would overflow a score
LARGEST_HEADER = 100_000_000  # bytes, as in safetensors
# All that any method of any version has; others are not read.
TENSORS = frozenset({
    "bank", "weights", "banks", "suspicion", "held_out", "held_out_of", "normal_limit", "roi",
    "sample", "sample_owners", "sample_of_bank", "sample_directions", "alignment",
    "floors", "support_own", "support_places", "support_distances", "support_pictures",
    "looks", "looks_scores", "looks_images",
    "chosen", "mean", "whitening",
})  # fmt: skip
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "C64": torch.complex64, "I64": torch.int64, "I32": torch.int32, "I16": torch.int16,
    "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_UNKNOWN = "0" * 8  # in place of the header's checksum while it is computed
_ENTRIES = {
    "method": str,
    "features": dict,
    "parameters": dict,
    "preprocessing": dict,
    "backbone": dict,
    "images": list,
    "normal_limit": float,
}


def write(path: Path, header: dict[str, Any], state: dict[str, Tensor]) -> None:
    """Write a header and tensors, whole or not at all.

    Raises:
        ModelFileError: the file cannot be written.
        BusyError: another process is changing it.
    """
    whole = content(header, state)
    try:
        with changing(path):
            write_content(path, whole)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written ({error.strerror})") from error


def write_content(path: Path, content: bytes) -> None:
    """Write what a model file holds; ModelFileError if it cannot be."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written ({error.strerror})") from error


def content(header: dict[str, Any], state: dict[str, Tensor]) -> bytes:
    """The bytes of a model file with this header and these tensors."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    unknown = tensors.keys() - TENSORS
    if unknown:
        raise ValueError(f"no model has a tensor called {min(unknown)}, so none would be read")
    checksums = {name: _checksum(_bytes_of(tensor)) for name, tensor in tensors.items()}
    about = {"format": FORMAT, **header, "checksums": checksums, "checksum": _UNKNOWN}
    whole = bytearray(save(tensors, metadata={KEY: json.dumps(about, sort_keys=True)}))
    end = 8 + int.from_bytes(whole[:8], "little")
    place = whole.index(_entry(_UNKNOWN), 8, end)
    sealed = _entry(_checksum(memoryview(whole)[8:end]))
    whole[place : place + len(sealed)] = sealed
    return bytes(whole)


def read_header(path: Path) -> dict[str, Any]:
    """Read and check the header alone; ModelFileError if it is missing, cut, foreign or newer."""
    return _read(path, tensors=False)[0]


def has_checksums(path: Path) -> bool:
    """Whether damage to the file would be noticed; ModelFileError as ``read_header``."""
    return _read(path, tensors=False)[2]


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read header and tensors.

    Raises:
        ModelFileError: the file is missing, cut, damaged, no model, of a newer format, or holds NaN
            or infinite values.
        OutOfMemoryError: its tensors do not fit into memory.
    """
    header, state, _ = _read(path, tensors=True)
    for key, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelFileError(f"{path}: {key} holds NaN or infinite values; fit again")
    return header, state


@dataclass(frozen=True)
class _Place:
    """Where a tensor is in a file, and what its bytes mean."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    size: int


def _read(path: Path, *, tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor], bool]:
    """Header, tensors if wanted, and whether they have checksums."""
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    try:
        with path.open("rb") as file:  # not mapped: it may change or shrink at any time
            length = path.stat().st_size
            raw = _raw_header(file, length)
            places, metadata = _places(raw, length)
            header, checksums = _header(path, raw, metadata)
            known = {name: places[name] for name in places if tensors and name in TENSORS}
            _need_memory(path, sum(place.size for place in known.values()))
            state = {}
            for name, place in known.items():
                content = torch.empty(place.size, dtype=torch.uint8)
                file.seek(place.start)
                if file.readinto(_bytes_of(content)) != place.size:
                    raise ValueError("it has become shorter")
                if checksums is not None and checksums.get(name) != _checksum(_bytes_of(content)):
                    raise ModelFileError(_damaged(path, f"tensor {name}"))
                state[name] = content.view(place.dtype).view(place.shape)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RuntimeError, RecursionError) as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"{path}: not enough memory to load it{memory_needed(error)}"
            ) from error
        raise ModelFileError(f"{path}: cut, or not a softpatch model ({error})") from error
    return header, state, checksums is not None


def _raw_header(file: BinaryIO, length: int) -> bytes:
    size = int.from_bytes(file.read(8), "little")
    if not 2 <= size <= min(length - 8, LARGEST_HEADER):
        raise ValueError(f"a header of {size} bytes in a file of {length}")
    return file.read(size)


def _places(raw: bytes, length: int) -> tuple[dict[str, _Place], object]:
    """Where the tensors are, which fill the file without gaps, and the metadata."""
    table = json.loads(raw)
    if not isinstance(table, dict):
        raise ValueError("the header is no table")
    metadata = table.pop("__metadata__", None)
    places, start = {}, 8 + len(raw)
    end = 0
    try:
        for name, about in sorted(table.items(), key=lambda item: item[1]["data_offsets"]):
            dtype, shape = DTYPES[about["dtype"]], about["shape"]
            begin, stop = about["data_offsets"]
            whole = all(type(number) is int and number >= 0 for number in (*shape, begin, stop))
            size = math.prod(shape) * dtype.itemsize if whole else -1
            if begin != end or stop - begin != size:
                raise ValueError(f"tensor {name} is not where the header says")
            end = stop
            places[name] = _Place(dtype, tuple(shape), start + begin, size)
    except (KeyError, TypeError) as error:
        raise ValueError("its table of tensors is damaged") from error
    if start + end != length:
        raise ValueError(f"{length} bytes, of which the header describes {start + end}")
    return places, metadata


def _header(
    path: Path, raw: bytes, metadata: object
) -> tuple[dict[str, Any], dict[str, str] | None]:
    """The header without its checksums, and those of the tensors; None in files without."""
    if not isinstance(metadata, dict) or KEY not in metadata:
        raise ModelFileError(f"{path}: a safetensors file, but not a softpatch model")
    damaged = _damaged(path, "the header")
    try:
        header = json.loads(metadata[KEY])
        version = header["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(damaged) from error
    if not isinstance(version, int) or version < 1:
        raise ModelFileError(damaged)
    if version > FORMAT:
        raise ModelFileError(
            f"{path}: format {version} is newer than this softpatch reads ({FORMAT}); "
            "pip install -U softpatch"
        )
    checksum, checksums = header.pop("checksum", None), header.pop("checksums", None)
    if checksum is not None:
        zeroed = raw.replace(_entry(str(checksum)), _entry(_UNKNOWN), 1)
        if checksum != _checksum(zeroed) or not isinstance(checksums, dict):
            raise ModelFileError(damaged)
    elif checksums is not None:  # the name of the other one is damaged
        raise ModelFileError(damaged)
    if not all(isinstance(header.get(key), kind) for key, kind in _ENTRIES.items()):
        raise ModelFileError(damaged)
    return header, checksums


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


def _checksum(content: bytes | memoryview) -> str:
    # CRC-32 takes 0.05 s for 100 MB, sha256 twice and blake2b five times that.
    return f"{zlib.crc32(content):08x}"


def _entry(checksum: str) -> bytes:
    """How the header's own checksum looks in the file: JSON in a string of JSON."""
    return f'\\"checksum\\": \\"{checksum}\\"'.encode()


def _damaged(path: Path, what: str) -> str:
    return f"{path}: {what} is damaged; restore the file, or fit again"
