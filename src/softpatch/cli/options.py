"""Options that several subcommands share; None means the method's or the preset's default."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from softpatch.errors import UsageError

_FEATURES = "What a patch is"
_METHOD = "Method"
_RUN = "Running"

Method = Annotated[
    str,
    typer.Option(
        rich_help_panel=_METHOD,
        help="softpatch (fused or anywhere, by the pictures), softpatch-lof, -nearest, -gaussian, "
        "-fused, -anywhere, patchcore or padim.",
    ),
]
K = Annotated[
    int | None,
    typer.Option("--k", rich_help_panel=_METHOD, help="Neighbours of lof and fused.  [6]"),
]
Tau = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_METHOD,
        help="Share of patches kept out of the memory bank, or auto: those whose outlier score is "
        "out of the usual.  [auto with fused, else 0.15]",
    ),
]
Denoise = Annotated[
    bool | None,
    typer.Option(
        "--denoise/--no-denoise", rich_help_panel=_METHOD, help="Keep outliers out of the bank."
    ),
]
SoftWeight = Annotated[
    bool | None,
    typer.Option(
        "--soft-weight/--no-soft-weight",
        rich_help_panel=_METHOD,
        help="Weight scores by the bank's outlier scores.  [not with fused and anywhere]",
    ),
]
CoresetRatio = Annotated[
    float | None,
    typer.Option(rich_help_panel=_METHOD, help="Memory bank as a share of all patches.  [0.1]"),
]
BankSize = Annotated[
    int | None,
    typer.Option(rich_help_panel=_METHOD, help="Vectors in the memory bank at most.  [20000]"),
]
References = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=_METHOD,
        help="Pictures each picture is compared with to find outliers, at most.  [1000]",
    ),
]
Distance = Annotated[
    str | None,
    typer.Option(rich_help_panel=_METHOD, help="squared or euclidean patch scores.  [squared]"),
]
Projection = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_METHOD,
        help="orthonormal or gaussian: work on 128 random dimensions.  [none]",
    ),
]
Dimensions = Annotated[
    int | None,
    typer.Option(rich_help_panel=_METHOD, help="Channels PaDiM keeps.  [100]"),
]
Preset = Annotated[
    str,
    typer.Option(
        rich_help_panel=_FEATURES,
        help="edge (offline), paper (WideResNet50-2) or dino (DINOv2 ViT-S/14).",
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(rich_help_panel=_FEATURES, help="efficientnet_lite0 (offline) or any timm model."),
]
Layers = Annotated[
    str | None,
    typer.Option(rich_help_panel=_FEATURES, help="Comma-separated, such as layer2,layer3."),
]
Weights = Annotated[
    str | None,
    typer.Option(rich_help_panel=_FEATURES, help="Local checkpoint of the backbone, or random."),
]
Embedding = Annotated[
    str | None,
    typer.Option(rich_help_panel=_FEATURES, help="neighbourhood, rooted, average or concat."),
]
Resize = Annotated[
    str | None,
    typer.Option(rich_help_panel=_FEATURES, help="Pixels: 256, or HEIGHTxWIDTH.  [edge: 224]"),
]
Crop = Annotated[
    str | None,
    typer.Option(rich_help_panel=_FEATURES, help="Centre crop: 224, or HEIGHTxWIDTH.  [224]"),
]
Tile = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_FEATURES,
        help="Cut larger pictures into overlapping tiles of that many pixels: 512.  [no tiles]",
    ),
]
Roi = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=_FEATURES, help="Mask picture, white where to look.  [everywhere]"
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_FEATURES,
        help="fp32, or bf16: the backbone in half the time; slow without AVX-512.  [fp32]",
    ),
]
Seed = Annotated[int, typer.Option(rich_help_panel=_RUN, help="Of every random draw.")]
Device = Annotated[str, typer.Option(rich_help_panel=_RUN, help="auto, cpu or cuda.")]
BatchSize = Annotated[
    int | None, typer.Option(rich_help_panel=_RUN, help="Pictures embedded at once.")
]
MemoryLimit = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_RUN,
        help="Such as 4GB; what does not fit goes to temporary files.  [half of what is free]",
    ),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", rich_help_panel=_RUN, help="Stop at the first unreadable picture."),
]
Exclude = Annotated[
    Path | None,
    typer.Option(help='Leave out what a file of decisions says to "remove" (softpatch audit).'),
]


MaxFalseAlarms = Annotated[
    float | None,
    typer.Option(
        help="Share of good pictures that the threshold may call anomalous; 0: no threshold.  "
        "[0.01]"
    ),
]
FALSE_ALARMS = 0.01

# What every subcommand that builds a detector takes, in the order of its help.
_DETECTOR: dict[str, tuple[Any, Any]] = {
    "method": (Method, "softpatch"),
    "k": (K, None),
    "tau": (Tau, None),
    "denoise": (Denoise, None),
    "soft_weight": (SoftWeight, None),
    "references": (References, None),
    "coreset_ratio": (CoresetRatio, None),
    "bank_size": (BankSize, None),
    "distance": (Distance, None),
    "projection": (Projection, None),
    "dimensions": (Dimensions, None),
    "preset": (Preset, "edge"),
    "backbone": (Backbone, None),
    "layers": (Layers, None),
    "weights": (Weights, None),
    "embedding": (Embedding, None),
    "resize": (Resize, None),
    "crop": (Crop, None),
    "tile": (Tile, None),
    "roi": (Roi, None),
    "precision": (Precision, None),
    "seed": (Seed, 0),
    "device": (Device, "auto"),
    "batch_size": (BatchSize, None),
    "memory_limit": (MemoryLimit, None),
}


def builds_detector(command: Callable[..., None]) -> Callable[..., None]:
    """Give a subcommand all options of a detector.

    It receives them as two keyword arguments: ``method``, and ``given``, the constructor options
    that were given, parsed.
    """
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        from softpatch.detectors.options import parse_options

        given = {name: arguments.pop(name) for name in _DETECTOR}
        method = given.pop("method")
        command(**arguments, method=method, given=parse_options(given))

    kept = [own.parameters[name] for name in own.parameters if name not in ("method", "given")]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _DETECTOR.items()
    ]
    run.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in (*kept, *added)}
    return run


def with_threshold(
    method: str, given: dict[str, Any], max_false_alarms: float | None
) -> dict[str, Any]:
    """Constructor options with the one of the threshold, which not every method can choose."""
    from softpatch.detectors import METHODS

    if max_false_alarms is None:
        able = method in METHODS and "max_false_alarms" in METHODS[method][0].option_names()
        max_false_alarms = FALSE_ALARMS if able else 0
    return {**given, "max_false_alarms": max_false_alarms} if max_false_alarms else given


def check_folder_of(file: Path | None, what: str) -> None:
    """Raise UsageError, before any work, where a file that was asked for could not be written."""
    if file is not None and not file.parent.is_dir():
        raise UsageError(f"{file.parent}: no such folder to write {what} to")
