"""The bytes of a model file: its header, and where its tensors lie. Nothing here needs torch.

A model file is safetensors tensors and a JSON header; opening one can never run code.

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

import io
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from softpatch.errors import ModelFileError, OutOfMemoryError, is_out_of_memory, memory_needed
from softpatch.runtime.files import write_atomically
from softpatch.storage.lock import changing

FORMAT = 1
KEY = "softpatch"
LARGEST_HEADER = 100_000_000  # bytes, as in safetensors
# All that any method of any version has; others are not read.
TENSORS = frozenset({
    "bank", "weights", "banks", "suspicion", "held_out", "held_out_of", "normal_limit", "roi",
    "sample", "sample_owners", "sample_of_bank", "sample_directions", "alignment",
    "floors", "support_own", "support_places", "support_distances", "support_pictures",
    "looks", "looks_scores", "looks_images",
    "chosen", "mean", "whitening",
})  # fmt: skip
ITEM_SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "C64": 8, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U8": 1, "BOOL": 1,
}  # fmt: skip
FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
NUMBERS = {**FLOATS, "I64": np.int64}
AT_ONCE = 2**24  # bytes
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


@dataclass(frozen=True)
class Place:
    """Where a tensor is in a file, and what its bytes mean; ``dtype`` as safetensors names it."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class Contents:
    """What a model file holds.

    Attributes:
        raw: the table of tensors, as it is in the file.
        header: the model's, without checksums.
        places: of the tensors.
        checksums: of the tensors; None in files without.
    """

    raw: bytes
    header: dict[str, Any]
    places: Mapping[str, Place]
    checksums: Mapping[str, str] | None


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Contents]]:
    """A model file that is read in the block, and its contents.

    Raises:
        ModelFileError: it is missing, cut, foreign or newer, or the block finds that it is.
        OutOfMemoryError: there is too little memory for it.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    try:
        with path.open("rb") as file:  # not mapped: it may change or shrink at any time
            length = path.stat().st_size
            raw = _raw_header(file, length)
            places, metadata = _places(raw, length)
            header, checksums = _header(path, raw, metadata)
            yield file, Contents(raw, header, places, checksums)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RuntimeError, RecursionError) as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"{path}: not enough memory to load it{memory_needed(error)}"
            ) from error
        raise ModelFileError(f"{path}: cut, or not a softpatch model ({error})") from error


def read_header(path: Path) -> dict[str, Any]:
    """Read and check the header alone; ModelFileError if it is missing, cut, foreign or newer."""
    with opened(path) as (_, contents):
        return contents.header


def read_checked(path: Path) -> Contents:
    """Read the header, and all tensors for damage; errors are those of ``model_file.read``."""
    with opened(path) as (file, contents):
        for name, place in contents.places.items():
            if name in TENSORS:
                _check(path, file, name, place, contents.checksums)
        return contents


def read_array(path: Path, name: str) -> npt.NDArray[Any]:
    """One tensor of numbers, checked; KeyError if there is none of that name."""
    with opened(path) as (file, contents):
        place = contents.places[name]
        _check(path, file, name, place, contents.checksums)
        file.seek(place.start)
        return np.frombuffer(file.read(place.size), NUMBERS[place.dtype]).reshape(place.shape)


def with_header(path: Path, **changes: Any) -> bytes:
    """What the file would be with these entries of its header changed, its tensors checked.

    The bytes that ``model_file.content`` makes of the same header and tensors.
    """
    with opened(path) as (file, contents):
        file.seek(0)
        whole = io.BytesIO(file.read())  # what is checked is what is written
        checksums = {
            name: _check(path, whole, name, one, contents.checksums if name in TENSORS else None)
            for name, one in contents.places.items()
        }
    whole.seek(8 + len(contents.raw))
    tensors = whole.read()
    if len(tensors) != sum(one.size for one in contents.places.values()):
        raise ModelFileError(f"{path}: is being changed; try again")
    table = json.loads(contents.raw)
    table["__metadata__"] = {KEY: metadata({**contents.header, **changes}, checksums)}
    raw = json.dumps(table, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    return sealed(bytearray(len(raw).to_bytes(8, "little") + raw + tensors))


def metadata(header: Mapping[str, Any], checksums: Mapping[str, str]) -> str:
    """The entry of a file's metadata, not sealed yet."""
    about = {"format": FORMAT, **header, "checksums": checksums, "checksum": _UNKNOWN}
    return json.dumps(about, sort_keys=True)


def sealed(whole: bytearray) -> bytes:
    """The bytes of a file with its header's own checksum in the place for it."""
    end = 8 + int.from_bytes(whole[:8], "little")
    place = whole.index(_entry(_UNKNOWN), 8, end)
    entry = _entry(checksum_of(memoryview(whole)[8:end]))
    whole[place : place + len(entry)] = entry
    return bytes(whole)


def write(path: Path, content: bytes) -> None:
    """Write a model file, whole or not at all.

    Raises:
        ModelFileError: the file cannot be written.
        BusyError: another process is changing it.
    """
    try:
        with changing(path):
            write_content(path, content)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written ({error.strerror})") from error


def write_content(path: Path, content: bytes) -> None:
    """Write what a model file holds; ModelFileError if it cannot be."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written ({error.strerror})") from error


def _check(
    path: Path, file: BinaryIO, name: str, place: Place, checksums: Mapping[str, str] | None
) -> str:
    """Read a tensor for damage, a part of it at a time; its checksum."""
    file.seek(place.start)
    left, found, finite = place.size, 0, True
    while left:
        part = file.read(min(left, AT_ONCE))
        if not part:
            raise ValueError("it has become shorter")
        left, found = left - len(part), zlib.crc32(part, found)
        if place.dtype in FLOATS:
            finite &= bool(np.isfinite(np.frombuffer(part, FLOATS[place.dtype])).all())
    checksum = f"{found:08x}"
    if checksums is not None and checksums.get(name) != checksum:
        raise ModelFileError(damaged(path, f"tensor {name}"))
    if not finite:
        raise ModelFileError(not_finite(path, name))
    return checksum


def _raw_header(file: BinaryIO, length: int) -> bytes:
    size = int.from_bytes(file.read(8), "little")
    if not 2 <= size <= min(length - 8, LARGEST_HEADER):
        raise ValueError(f"a header of {size} bytes in a file of {length}")
    return file.read(size)


def _places(raw: bytes, length: int) -> tuple[dict[str, Place], object]:
    """Where the tensors are, which fill the file without gaps, and the metadata."""
    table = json.loads(raw)
    if not isinstance(table, dict):
        raise ValueError("the header is no table")
    metadata = table.pop("__metadata__", None)
    places, start = {}, 8 + len(raw)
    end = 0
    try:
        for name, about in sorted(table.items(), key=lambda item: item[1]["data_offsets"]):
            dtype, shape = about["dtype"], about["shape"]
            begin, stop = about["data_offsets"]
            whole = all(type(number) is int and number >= 0 for number in (*shape, begin, stop))
            size = math.prod(shape) * ITEM_SIZES[dtype] if whole else -1
            if begin != end or stop - begin != size:
                raise ValueError(f"tensor {name} is not where the header says")
            end = stop
            places[name] = Place(dtype, tuple(shape), start + begin, size)
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
    words = damaged(path, "the header")
    try:
        header = json.loads(metadata[KEY])
        version = header["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(words) from error
    if not isinstance(version, int) or version < 1:
        raise ModelFileError(words)
    if version > FORMAT:
        raise ModelFileError(
            f"{path}: format {version} is newer than this softpatch reads ({FORMAT}); "
            "pip install -U softpatch"
        )
    checksum, checksums = header.pop("checksum", None), header.pop("checksums", None)
    if checksum is not None:
        zeroed = raw.replace(_entry(str(checksum)), _entry(_UNKNOWN), 1)
        if checksum != checksum_of(zeroed) or not isinstance(checksums, dict):
            raise ModelFileError(words)
    elif checksums is not None:  # the name of the other one is damaged
        raise ModelFileError(words)
    if not all(isinstance(header.get(key), kind) for key, kind in _ENTRIES.items()):
        raise ModelFileError(words)
    return header, checksums


def checksum_of(content: bytes | memoryview) -> str:
    """CRC-32, as eight digits."""
    # It takes 0.05 s for 100 MB, sha256 twice and blake2b five times that.
    return f"{zlib.crc32(content):08x}"


def _entry(checksum: str) -> bytes:
    """How the header's own checksum looks in the file: JSON in a string of JSON."""
    return f'\\"checksum\\": \\"{checksum}\\"'.encode()


def not_finite(path: Path, name: str) -> str:
    """What an error says of a tensor with NaN or infinite values."""
    return f"{path}: {name} holds NaN or infinite values; fit again"


def damaged(path: Path, what: str) -> str:
    """What an error says of a damaged part."""
    return f"{path}: {what} is damaged; restore the file, or fit again"
