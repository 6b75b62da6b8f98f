"""``softpatch evaluate``: fit on a contaminated training set and measure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from softpatch.cli import options
from softpatch.cli.terminal import Skipped, progress_bars, stdout


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder that holds a data set's categories.")],
    category: Annotated[str, typer.Option(help="Which category, such as bottle.")],
    layout: Annotated[
        str | None, typer.Option(help="Listed by softpatch datasets.  [recognised]")
    ] = None,
    noise: Annotated[
        float, typer.Option(help="Defective pictures added, as a share of the clean ones.")
    ] = 0.0,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Keep the added pictures in the test set.")
    ] = False,
    augment: Annotated[
        bool, typer.Option("--augment", help="Randomly turn, shift and flip added pictures.")
    ] = False,
    manifest: Annotated[
        Path | None, typer.Option(help="Write down which pictures were added.")
    ] = None,
    from_manifest: Annotated[
        Path | None, typer.Option(help="Add the pictures a manifest names, instead of drawing.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line, no bars.")] = False,
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
    """Measure a METHOD on a category whose training set is contaminated on purpose.

    Needs the extra: pip install 'softpatch[evaluate]'

    Examples:
    softpatch evaluate --data mvtec/ --category bottle --noise 0.1 --overlap

    softpatch evaluate --data mvtec/ --category bottle --method patchcore --noise 0.1 --json

    softpatch evaluate --data btad/ --layout btad --category 01
    """
    arguments = dict(locals())
    for name in (
        "data", "category", "layout", "noise", "overlap", "augment", "manifest", "from_manifest",
        "as_json", "method", "strict",
    ):  # fmt: skip
        del arguments[name]

    from softpatch.datasets import contaminate, open_dataset, read_manifest
    from softpatch.detectors import make_detector
    from softpatch.evaluation.protocol import evaluate as run
    from softpatch.progress import silent

    detector = make_detector(method, **options.detector_options(arguments))
    products = open_dataset(data, layout).read(category)
    if from_manifest is not None:
        contamination = read_manifest(from_manifest, products)
    else:
        contamination = contaminate(products, noise, overlap=overlap, seed=seed, augment=augment)
    if manifest is not None:
        contamination.write_manifest(manifest)
    skipped = Skipped(strict)
    if as_json:
        row, _ = run(
            method, detector, contamination, on_unreadable=skipped.handler, progress=silent
        )
        typer.echo(json.dumps(row.as_dict()))
    else:
        with progress_bars() as progress:
            row, _ = run(
                method, detector, contamination, on_unreadable=skipped.handler, progress=progress
            )
        show([row.as_dict()])
    skipped.report()
    unmasked = sum(not sample.masks for sample in contamination.test if sample.defective)
    if unmasked:
        from softpatch.cli.terminal import stderr

        stderr().print(f"pixel metrics leave out {unmasked} defective picture(s) without a mask")


def show(rows: list[dict[str, Any]]) -> None:
    """Print result rows side by side, one column each."""
    from rich.markup import escape
    from rich.table import Table

    title = f"{rows[0]['category']}, noise {rows[0]['noise']:g}, {rows[0]['policy']}"
    table = Table(title=escape(title))
    table.add_column("")
    for row in rows:
        table.add_column(row["method"], justify="right")
    for key in rows[0]:
        if key not in ("category", "noise", "policy", "method"):
            table.add_row(key.replace("_", " "), *(_cell(key, row[key]) for row in rows))
    stdout().print(table)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    if key == "peak_memory_mb":
        return f"{value:.0f}"
    return f"{value:.2f}" if "seconds" in key else f"{value:.4f}"
