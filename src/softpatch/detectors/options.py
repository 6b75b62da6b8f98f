"""Options of detectors: what all of them take, and how text becomes one."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypedDict

from torch import nn

from softpatch.errors import UsageError


class CommonOptions(TypedDict, total=False):
    """Options every detector takes; what is not given comes from the preset.

    Attributes:
        preset: ``edge`` (default), ``paper`` or ``dino``.
        backbone: its name, see ``FeatureConfig``; or an ``nn.Module`` of your own that returns maps
            and knows its normalisation, see ``PatchExtractor``.
        layers, weights, embedding, dimension, resize, crop, tile, precision: see
            ``FeatureConfig``; sizes are one number or (height, width).
        intensity: (low, high), the values that are black and white in images of more than 8 bits. A
            fit takes what holds the training images' if None.
        roi: the region of interest, as ``RegionOfInterest`` takes it: a mask picture, white where
            training and scoring look. Everywhere if None.
        seed: of every random draw.
        device: ``auto`` (default: CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1`` ...;
            of the run, not of the model: it does not enter the model file.
        batch_size: images the backbone sees at once; likewise, and results do not depend on it.
        memory_limit: bytes the process may have resident while it fits; what does not fit goes
            to temporary files. Likewise. Half of the available memory if None.
    """

    preset: str
    backbone: str | nn.Module | None
    layers: tuple[str, ...] | None
    weights: str | None
    embedding: str | None
    dimension: int | None
    resize: int | tuple[int, int] | None
    crop: int | tuple[int, int] | None
    tile: int | tuple[int, int] | None
    intensity: tuple[int, int] | None
    roi: Any
    precision: str | None
    seed: int
    device: str
    batch_size: int | None
    memory_limit: int | None


FEATURE_OPTIONS = (
    "layers", "weights", "embedding", "dimension", "resize", "crop", "tile", "precision",
    "intensity",
)  # fmt: skip
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(CommonOptions.__annotations__), "preset": "edge", "seed": 0, "device": "auto",
}  # fmt: skip
SEEDS = 2**32


def parse_options(arguments: dict[str, Any]) -> dict[str, Any]:
    """Options as a command line or a grid has them -> constructor options.

    Sizes are text such as ``256`` or ``224x448``, an intensity is ``0:4095``, memory ``4GB``, and
    layers are separated by commas; None is an option that was not given.

    Raises:
        UsageError: text that is none of these.
    """
    options = {name: value for name, value in arguments.items() if value is not None}
    if "layers" in options:
        options["layers"] = tuple(options["layers"].split(","))
    for name in ("resize", "crop", "tile"):
        if name in options:
            options[name] = _size(name, options[name])
    if "intensity" in options:
        options["intensity"] = _range(options["intensity"])
    with suppress(KeyError, ValueError):  # of what is no number, the detector says so
        options["tau"] = float(options["tau"])
    if "memory_limit" in options:
        options["memory_limit"] = _bytes(options["memory_limit"])
    return options


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition(":")
    if not low.isdecimal() or not high.isdecimal():
        raise UsageError(f"--intensity takes LOW:HIGH, such as 0:4095, got {text!r}")
    return int(low), int(high)


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
