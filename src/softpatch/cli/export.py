"""``softpatch export``: a fitted model as one file for ONNX Runtime or OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softpatch.cli import options
from softpatch.cli.terminal import progress_bars, say, stdout

if TYPE_CHECKING:
    from softpatch.export import ParityReport

CALIBRATED = 32  # pictures; 4 are not much worse


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
        str, typer.Option(help="fp32; fp16 for half the size; int8 for a network in 8 bits.")
    ] = "fp32",
    calibration: Annotated[
        Path | None,
        typer.Option(help="Pictures int8 learns its ranges from.  [the model's training pictures]"),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            help="Pictures to compare model and file on.  [the model's training pictures]"
        ),
    ] = None,
    pictures: Annotated[int, typer.Option(min=0, help="How many; 0 compares nothing.")] = 10,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest relative difference.  [0.001; fp16 0.05, int8 0.3]"),
    ] = None,
    weights: options.Weights = None,
) -> None:
    """Export MODEL as one graph that takes 8-bit pictures of any size and needs no softpatch.

    Ends with a comparison of both; OUTPUT is not written if they differ.

    Examples:
    softpatch export part.softpatch -o part.onnx --threshold 12.5

    softpatch export part.softpatch -o part.xml --check new/ --pictures 50

    softpatch export part.softpatch -o part.xml --precision int8
    """
    from softpatch.export import export_model

    few = _some(model, check, pictures, "--check FOLDER, or --pictures 0") if pictures else []
    shown = []
    if precision == "int8":
        shown = _some(model, calibration, CALIBRATED, "--calibration FOLDER")
    with progress_bars() as progress:
        report = export_model(
            model,
            output,
            pictures=few,
            threshold=threshold,
            precision=precision,  # type: ignore[arg-type]  # checked there
            calibration=shown,
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


def _some(model: Path, folder: Path | None, most: int, otherwise: str) -> list[Path]:
    """Pictures of a folder, or of the model's training pictures if it is None."""
    from softpatch.errors import UsageError
    from softpatch.runtime.images import list_images
    from softpatch.storage.model_file import read_header

    if folder is not None:
        available = list_images(folder)
    else:
        available = [Path(name) for name in read_header(model)["images"]]
        available = [path for path in available if path.is_file()]
    if not available:
        raise UsageError(
            f"none of the training pictures is where it was; give some with {otherwise}"
        )
    # From all over the folder: its defects lie in folders of their own.
    most = min(most, len(available))
    return [available[at * len(available) // most] for at in range(most)]


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
