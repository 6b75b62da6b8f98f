"""``softpatch fit``: a folder of pictures -> a model file and a list of suspects."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softpatch.cli import options
from softpatch.cli.terminal import Skipped, duration, progress_bars, stdout
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.detectors import SoftPatch

SHOWN = 10


def fit(
    folder: Annotated[Path, typer.Argument(help="Training pictures, searched recursively.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model file to write.")],
    suspects: Annotated[
        Path | None,
        typer.Option(help="Also write all training pictures, most suspicious first, as CSV."),
    ] = None,
    method: options.Method = "softpatch",
    k: options.K = None,
    tau: options.Tau = None,
    denoise: options.Denoise = None,
    soft_weight: options.SoftWeight = None,
    references: options.References = None,
    coreset_ratio: options.CoresetRatio = None,
    bank_size: options.BankSize = None,
    distance: options.Distance = None,
    projection: options.Projection = None,
    dimensions: options.Dimensions = None,
    preset: options.Preset = "edge",
    backbone: options.Backbone = None,
    layers: options.Layers = None,
    weights: options.Weights = None,
    embedding: options.Embedding = None,
    resize: options.Resize = None,
    crop: options.Crop = None,
    tile: options.Tile = None,
    roi: options.Roi = None,
    precision: options.Precision = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    memory_limit: options.MemoryLimit = None,
    strict: options.Strict = False,
) -> None:
    """Learn what is normal from FOLDER, some of whose pictures may be bad.

    Examples:
    softpatch fit photos/ -o part.softpatch

    softpatch fit photos/ -o part.softpatch --suspects suspects.csv --preset paper
    """
    arguments = dict(locals())
    for name in ("folder", "output", "suspects", "method", "strict"):
        del arguments[name]
    if not output.parent.is_dir():
        raise UsageError(f"{output.parent}: no such folder to write the model to")
    if output.is_dir():
        raise UsageError(f"{output}: is a folder; name a file such as part.softpatch")
    if suspects is not None and not suspects.parent.is_dir():
        raise UsageError(f"{suspects.parent}: no such folder to write the suspects to")

    from softpatch.detectors import SoftPatch, make_detector
    from softpatch.errors import DatasetError

    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    detector = make_detector(method, **options.detector_options(arguments))
    if suspects is not None and not isinstance(detector, SoftPatch):
        raise UsageError(f"{method} does not rank its training pictures; use softpatch")
    skipped = Skipped(strict)
    started = time.perf_counter()
    try:
        with progress_bars() as progress:
            detector.fit(folder, on_unreadable=skipped.handler, progress=progress)
    finally:
        skipped.report()
    detector.save(output)
    took = duration(time.perf_counter() - started)
    stdout().print(
        f"fitted {method} on {len(detector.images_)} pictures in {took}, wrote {output} "
        f"({output.stat().st_size / 1e6:.0f} MB)",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    if isinstance(detector, SoftPatch):
        _show_suspects(detector)
        if suspects is not None:
            _write_suspects(detector, suspects)


def _show_suspects(detector: SoftPatch) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("rank", "suspicion", "picture", title="Most suspicious training pictures")
    for rank, (name, suspicion) in enumerate(detector.suspects()[:SHOWN], start=1):
        table.add_row(str(rank), f"{suspicion:.3f}", escape(name))
    stdout().print(table)


def _write_suspects(detector: SoftPatch, path: Path) -> None:
    from softpatch.files import csv_bytes, write_atomically

    rows = [
        {"rank": rank, "suspicion": suspicion, "path": name}
        for rank, (name, suspicion) in enumerate(detector.suspects(), start=1)
    ]
    write_atomically(path, csv_bytes(rows))
    stdout().print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
