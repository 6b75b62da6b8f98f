"""The table: by its name in Python, what each option takes.

``--coreset-ratio`` is ``coreset_ratio`` here, and so is the argument of a detector. An option that
takes something else in one subcommand is there once more, after that subcommand's name and a dot.
Upper ends without another reason are what nobody reaches and everything still computes with.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from softpatch.ranges.kinds import Bytes, Device, Ends, Flag, Number, OneOf, Several, Size, Text
from softpatch.runtime.ranges import RANGES as OF_THE_RUNTIME
from softpatch.runtime.ranges import Range, Whole

MANY = 1_000_000
DAY = 86_400.0  # seconds
LARGEST_SCORE = 1e30  # float32, which heat maps and exported models have, goes on to 3e38

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        **OF_THE_RUNTIME,
        # -- what a method learns
        "k": Whole(1, MANY),
        "references": Whole(2, MANY),
        "tau": Number(0, 1, below=True, also=("auto", None)),
        "discriminator.tau": Number(0, 1, below=True, also=("auto",)),
        "denoise": Flag(),
        "soft_weight": Flag(or_none=True),
        "coreset_ratio": Number(0, 1, above=True),
        "bank_size": Whole(1, 1_000_000_000),
        "banks": Whole(1, 10_000),
        "distance": OneOf(("squared", "euclidean")),
        "reweight": Flag(),
        "dimensions": Whole(1, MANY, or_none=True),
        "max_false_alarms": Number(0, 1, below=True, also=(None,)),  # 0 chooses no threshold
        "look_share": Number(0, 1, below=True, also=(None,)),  # 0 chooses no limit
        # -- what a patch is
        "preset": Text(),
        "backbone": Text(or_none=True),
        "layers": Several(Text()),
        "weights": Text(path=True, or_none=True),
        "embedding": OneOf(("neighbourhood", "rooted", "average", "concat")),
        "dimension": Whole(1, 16_384),
        # At 16 pixels, efficientnet_lite0 leaves one patch, which has no others to be compared
        # with; more than 8,192 hardly fit into memory.
        "resize": Size(32, 8192),
        "crop": Size(32, 8192),
        "tile": Size(32, MANY),
        "intensity": Ends(0, 65_535),  # of 16 bits
        "precision": OneOf(("fp32", "bf16")),
        # -- how the work is done
        "seed": Whole(0, 2**32 - 1),  # which every random generator takes
        "device": Device(),
        "batch_size": Whole(1, MANY, or_none=True),
        "memory_limit": Bytes(1, 2**60, or_none=True),
        "jobs": Whole(1, 1024),
        "engine": OneOf(("local", "ray")),
        "coreset": OneOf(("auto", "exact", "sharded"), or_none=True),
        # -- what is done with a model
        "forget": Number(0, 1, below=True),
        "threshold": Number(0, LARGEST_SCORE, also=(None,)),
        "value": Number(0, LARGEST_SCORE),
        "threshold.max_false_alarms": Number(0, 1, above=True, below=True),
        "fdr": Number(0, 1, above=True, below=True),
        "max_misses": Number(0, 1, below=True),
        "look_misses": Number(0, 1, below=True),
        "miss_cost": Number(0, 1e9, above=True),
        "bad_share": Number(0, 1, above=True, below=True),
        "first": Whole(0, 1_000_000_000),
        "to": Whole(1, 1_000_000_000, or_none=True),
        "export.precision": OneOf(("fp32", "fp16", "int8")),
        "pictures": Whole(0, MANY),
        "tolerance": Number(0, 1000, also=(None,)),
        "depth": Whole(1, 1000, or_none=True),
        "interval": Number(0.01, DAY),
        "patience": Number(0, 1e10),
        # -- what is measured
        "noise": Number(0, 1000),
        "benchmark.noise": Several(Number(0, 1000)),
        "seeds": Several(Whole(0, 2**32 - 1)),
        "pixel_at": OneOf(("input", "native")),
        "cache_limit": Bytes(1, 2**60),
        # -- the service
        "port": Whole(0, 65_535),
        "serve.max_pixels": Whole(1, 64_000_000),  # ``MAX_PIXELS``: no more are decoded
        "max_bytes": Whole(1, 2**40),
        "max_pictures": Whole(1, 1000),
        "queue": Whole(1, 10_000),
        "waiting_bytes": Whole(1, 2**40),
        "connections": Whole(1, 10_000),
        "connections_per_address": Whole(1, 10_000),
        "head_seconds": Number(0.1, 3600),
        "body_seconds": Number(0.1, 3600),
        "idle_seconds": Number(0.1, 3600),
        "look_seconds": Number(0.001, 3600),
    }
)


def range_of(name: str, command: str = "") -> Range | None:
    """What an option takes, in a subcommand; None if it is not in the table."""
    return RANGES.get(f"{command}.{name}", RANGES.get(name))


def check(name: str, value: Any, called: str | None = None) -> Any:
    """The value of the option of that name in the table, of Python's own types.

    ``called``, its name in the error, is ``name`` unless it is given.

    Raises:
        UsageError: the option does not take it.
    """
    return RANGES[name].check(called or name.rpartition(".")[2], value)


def read(name: str, value: Any) -> Any:
    """What text, of a command line or a grid, means as the value of an option.

    Nothing is checked. Other values, and those of options not in the table, are what they are.
    """
    known = name in RANGES and isinstance(value, str)
    return RANGES[name].read(value) if known else value


def check_all(**values: Any) -> None:
    """``check`` of several.

    Raises:
        UsageError: an option does not take its value.
    """
    for name, value in values.items():
        check(name, value)
