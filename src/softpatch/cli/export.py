"""``softpatch export``: a fitted model as one file for ONNX Runtime or OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softpatch.cli import options
from softpatch.cli.terminal import progress_bars, say, stdout

if TYPE_CHECKING:
    from softpatch.export import ParityReport


def export(
    model: Annotated[Path, typer.Argument(help="A file written by softpatch fit.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="part.onnx, or part.xml for OpenVINO.")
    ],
    threshold: Annotated[
        float | None,
        typer.Option(help="Scores above it are labelled 1, others 0.  [the model's, or no labels]"),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Of the weights in the file: fp32, or fp16 for half the size.")
    ] = "fp32",
    check: Annotated[
        Path | None,
        typer.Option(
            help="Pictures to compare model and file on.  [the model's training pictures]"
        ),
    ] = None,
    pictures: Annotated[int, typer.Option(min=0, help="How many; 0 compares nothing.")] = 10,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest relative difference.  [0.001; 0.05 with fp16]"),
    ] = None,
    weights: options.Weights = None,
) -> None:
    """Export MODEL as one graph that takes 8-bit pictures of any size and needs no softpatch.

    Ends with a comparison of both; OUTPUT is not written if they differ.

    Examples:
    softpatch export part.softpatch -o part.onnx --threshold 12.5

    softpatch export part.softpatch -o part.xml --check new/ --pictures 50
    """
    from softpatch.errors import UsageError
    from softpatch.export import export_model
    from softpatch.images import list_images
    from softpatch.model_file import read_header

    chosen = []
    if pictures:
        if check is not None:
            available = list_images(check)
        else:
            available = [Path(name) for name in read_header(model)["images"]]
            available = [path for path in available if path.is_file()]
        if not available:
            raise UsageError(
                "none of the training pictures is where it was; give some with --check FOLDER, or "
                "--pictures 0"
            )
        # From all over the folder: its defects lie in folders of their own.
        few = min(pictures, len(available))
        chosen = [available[at * len(available) // few] for at in range(few)]
    with progress_bars() as progress:
        report = export_model(
            model,
            output,
            pictures=chosen,
            threshold=threshold,
            precision=precision,  # type: ignore[arg-type]  # checked there
            tolerance=tolerance,
            weights=weights,
            progress=progress,
        )
    size = sum(
        path.stat().st_size for path in {output, output.with_suffix(".bin")} if path.exists()
    )
    if report is not None:
        _show(report)
    said = f"wrote {output}, {size / 1e6:.1f} MB"
    say(said)


def _show(report: ParityReport) -> None:
    from rich.table import Table

    table = Table("", "", title=f"File beside model, {report.pictures} pictures", show_header=False)
    table.add_row("largest difference of scores", f"{report.score_difference:.1e}")
    table.add_row("largest difference of maps", f"{report.map_difference:.1e}")
    if report.labels_differ is not None:
        table.add_row("labels that differ", str(report.labels_differ))
    table.add_row("model, ms a picture", f"{report.model_ms:.0f}")
    table.add_row("file, ms a picture", f"{report.exported_ms:.0f}")
    stdout().print(table)
