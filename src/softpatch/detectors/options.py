"""Options of detectors: what all of them take, and how text becomes one."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from softpatch.errors import UsageError


def parse_options(arguments: dict[str, Any]) -> dict[str, Any]:
    """Options as a command line or a grid has them -> constructor options.

    Sizes are text such as ``256`` or ``224x448``, memory such as ``4GB``, layers are separated by
    commas; None is an option that was not given.

    Raises:
        UsageError: text that is none of these.
    """
    options = {name: value for name, value in arguments.items() if value is not None}
    if "layers" in options:
        options["layers"] = tuple(options["layers"].split(","))
    for name in ("resize", "crop", "tile"):
        if name in options:
            options[name] = _size(name, options[name])
    with suppress(KeyError, ValueError):  # of what is no number, the detector says so
        options["tau"] = float(options["tau"])
    if "memory_limit" in options:
        options["memory_limit"] = _bytes(options["memory_limit"])
    return options


def _bytes(text: str) -> int:
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    number, unit = text[:-2].strip(), text[-2:].upper()
    try:
        size = float(number) * units[unit]
    except (ValueError, KeyError):
        size = -1.0
    if not 1 <= size < float("inf"):
        raise UsageError(f"--memory-limit takes a size such as 500MB or 4GB, got {text!r}")
    return int(size)


def _size(name: str, text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--{name} takes 256 or HEIGHTxWIDTH, got {text!r}")
    return int(parts[0]), int(parts[-1])
