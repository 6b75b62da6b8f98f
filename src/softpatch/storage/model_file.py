"""The model file: safetensors tensors and a JSON header. Opening one can never run code.

Layout: a safetensors file whose metadata holds one entry, ``softpatch``: a JSON object with
``format`` (an integer), ``method``, ``features``, ``parameters``, ``preprocessing``, ``backbone``
(name, layers, sha256 of its weights), ``images`` and ``normal_limit``, and ``lineage`` in later
versions of a model. Instead of the backbone's weights it has their hash, which is checked on
loading. Nothing in it depends on time or place, so the same fit gives the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from softpatch.errors import ModelFileError
from softpatch.runtime.files import write_atomically

FORMAT = 1
KEY = "softpatch"
LARGEST_NUMBER = 1e9  # in an array; patches reach hundreds, and more would overflow a score
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
    """Write a header and tensors, see ``write_content``."""
    write_content(path, content(header, state))


def write_content(path: Path, content: bytes) -> None:
    """Write the content of a model file, whole or not at all; ModelFileError if it cannot be."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written ({error.strerror})") from error


def content(header: dict[str, Any], state: dict[str, Tensor]) -> bytes:
    """The bytes of a model file with this header and these tensors."""
    text = json.dumps({"format": FORMAT, **header}, sort_keys=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    return save(tensors, metadata={KEY: text})


def read_header(path: Path) -> dict[str, Any]:
    """Read and check the header alone; ModelFileError if it is missing, cut, foreign or newer."""
    return _read(path, tensors=False)[0]


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read header and tensors.

    Raises:
        ModelFileError: the file is missing, cut, no model, of a newer format, or holds NaN or
            infinite values.
    """
    header, state = _read(path, tensors=True)
    for key, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelFileError(f"{path}: {key} holds NaN or infinite values; fit again")
    return header, state


def _read(path: Path, *, tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    try:
        with safe_open(path, framework="pt") as file:
            header = _header(path, file.metadata())
            keys = file.keys() if tensors else []
            # Copies: without them the file would stay mapped while it may change.
            return header, {key: file.get_tensor(key).clone() for key in keys}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path}: cut, or not a softpatch model ({error})") from error


def _header(path: Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    if not metadata or KEY not in metadata:
        raise ModelFileError(f"{path}: a safetensors file, but not a softpatch model")
    try:
        header = json.loads(metadata[KEY])
        version = header["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path}: the header is damaged") from error
    if not isinstance(version, int) or version < 1:
        raise ModelFileError(f"{path}: the header is damaged")
    if version > FORMAT:
        raise ModelFileError(
            f"{path}: format {version} is newer than this softpatch reads ({FORMAT}); "
            "pip install -U softpatch"
        )
    if not all(isinstance(header.get(key), kind) for key, kind in _ENTRIES.items()):
        raise ModelFileError(f"{path}: the header is damaged")
    return header  # type: ignore[no-any-return]
