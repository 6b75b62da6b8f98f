"""``softpatch export``: a fitted model as one file for ONNX Runtime or OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from softpatch.cli import options
from softpatch.cli.inputs import listed
from softpatch.cli.options import option, to_output
from softpatch.cli.terminal import progress_bars, say, say_next, show_table
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.export import ParityReport

CALIBRATED = 32  # images; 4 are not much worse


@options.reads_pictures
@options.changes("output")
def export(
    model: Path = options.MODEL,
    output: Path = to_output("part.onnx, or part.xml for OpenVINO."),
    threshold: float | None = option(
        "Scores above it are labelled 1, others 0.  [the model's, or no labels]"
    ),
    precision: str = option(
        "fp32; fp16 for half the size; int8 for a network in 8 bits.", default="fp32"
    ),
    calibration: Path | None = option(
        "Pictures int8 learns its ranges from.  [the model's training pictures]"
    ),
    check: Path | None = option(
        "Pictures to compare model and file on.  [the model's training pictures]"
    ),
    pictures: int = option("How many; 0 compares nothing.", default=10),
    tolerance: float | None = option("Largest relative difference.  [0.001; fp16 0.05, int8 0.3]"),
    weights: str | None = options.Features.weights,
) -> None:
    """Export MODEL as one graph that takes 8-bit pictures of any size and needs no softpatch.

    Ends with a comparison of both; OUTPUT is not written if they differ.

    Examples:
    softpatch export part.softpatch -o part.onnx --threshold 12.5

    softpatch export part.softpatch -o part.xml --check new/ --pictures 50

    softpatch export part.softpatch -o part.xml --precision int8
    """
    from softpatch.export import export_model

    if calibration is not None and precision != "int8":
        raise UsageError("--calibration goes with --precision int8")
    if check is not None and pictures == 0:
        raise UsageError("--check compares pictures, --pictures 0 compares none")
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
    say(f"wrote {output}, {size / 1e6:.1f} MB")
    say_next("softpatch-runtime", output, "new/", "-o", "results/", more="  (without torch)")


def _some(model: Path, folder: Path | None, most: int, otherwise: str) -> list[Path]:
    """Images from a folder, or from the model's training images if it is None."""
    from softpatch.storage.model_bytes import read_header

    if folder is not None:
        available = listed(folder)
    else:
        available = [Path(name) for name in read_header(model)["images"]]
        available = [path for path in available if path.is_file()]
    if not available:
        raise UsageError(
            f"none of the training pictures is where it was; give some with {otherwise}"
        )
    # Spread over the folder: each kind of defect has a subfolder of its own.
    most = min(most, len(available))
    return [available[at * len(available) // most] for at in range(most)]


def _show(report: ParityReport) -> None:
    labels = report.labels_differ
    rows = [
        ("largest difference of scores", f"{report.score_difference:.1e}"),
        ("largest difference of maps", f"{report.map_difference:.1e}"),
        *([] if labels is None else [("labels that differ", str(labels))]),
        ("model, ms a picture", f"{report.model_ms:.0f}"),
        ("file, ms a picture", f"{report.exported_ms:.0f}"),
    ]
    show_table(f"File beside model, {report.pictures} pictures", ("", ""), rows)
