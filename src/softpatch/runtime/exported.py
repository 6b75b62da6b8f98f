"""The bytes of an exported model, and the checksum that goes through all of them.

``softpatch export`` puts ``softpatch-crc32:`` and eight digits among the metadata: the CRC-32 of
the file with zeros in the place of the digits and, for OpenVINO, of the ``.bin`` after it. So a
flipped bit is noticed, and a ``.bin`` of another export. Files of earlier versions have none.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from .errors import ModelFileError, OutOfMemoryError

MARK = b"softpatch-crc32:"
ENTRY = "softpatch_checksum"  # of the metadata
UNSEALED = f"{MARK.decode()}{0:08x}"  # its value until the file is written


@dataclass(frozen=True)
class Exported:
    """What an exported file holds.

    Attributes:
        graph: the file itself.
        weights: the ``.bin`` beside it; empty where there is none.
        checked: whether it has a checksum, which is right.
    """

    graph: bytes
    weights: bytes
    checked: bool


def read_exported(path: Path) -> Exported:
    """Read a file and what belongs to it: whole, so that it may change while it is in use.

    Raises:
        ModelFileError: missing, damaged, or parts of two exports.
        OutOfMemoryError: not enough memory to read it.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    files = _files(path)
    if not files[-1].is_file():
        raise ModelFileError(f"{path}: {files[-1].name} has to be beside it; export again")
    try:
        graph, *weights = (file.read_bytes() for file in files)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    except MemoryError as error:
        size = sum(file.stat().st_size for file in files) / 1e6
        raise OutOfMemoryError(
            f"{path}: not enough memory to load it: it takes {size:,.0f} MB"
        ) from error
    contents = graph, *weights
    at = graph.rfind(MARK) + len(MARK)
    if at < len(MARK):
        return Exported(graph, b"".join(weights), checked=False)
    if graph[at : at + 8] != _checksum(contents, at):
        other = (
            f"{files[-1].name} is of another export"
            if weights
            else "not as softpatch export wrote it"
        )
        raise ModelFileError(f"{path}: is damaged, or {other}; export again")
    return Exported(graph, b"".join(weights), checked=True)


def seal(path: Path) -> None:
    """Put the checksum into a file that has been written with ``UNSEALED`` in its metadata."""
    contents = [file.read_bytes() for file in _files(path)]
    at = contents[0].rindex(UNSEALED.encode()) + len(MARK)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(_checksum(contents, at))


def _files(path: Path) -> list[Path]:
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def _checksum(contents: tuple[bytes, ...] | list[bytes], at: int) -> bytes:
    graph = memoryview(contents[0])
    found = 0
    for part in (graph[:at], b"0" * 8, graph[at + 8 :], *contents[1:]):
        found = zlib.crc32(part, found)
    return f"{found:08x}".encode()
