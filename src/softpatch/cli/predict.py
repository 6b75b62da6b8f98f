"""``softpatch predict``: score pictures with a fitted model."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softpatch.cli import options
from softpatch.cli.terminal import Skipped, duration, progress_bars, say, stdout

if TYPE_CHECKING:
    from PIL.Image import Image

    from softpatch.prediction import Prediction

SHOWN = 10


def predict(
    model: Annotated[Path, typer.Argument(help="A file written by softpatch fit.")],
    images: Annotated[Path, typer.Argument(help="A picture, or a folder searched recursively.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the table and heat maps.")
    ],
    heatmaps: Annotated[
        bool, typer.Option("--heatmaps/--no-heatmaps", help="Write a heat map per picture.")
    ] = True,
    report: Annotated[
        bool, typer.Option("--report", help="Also write predictions.html, to look through.")
    ] = False,
    masks: Annotated[
        bool, typer.Option("--masks", help="Write masks of what is defective, too.")
    ] = False,
    weights: options.Weights = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    strict: options.Strict = False,
) -> None:
    """Score IMAGES: OUTPUT gets predictions.csv, predictions.json and heatmaps/.

    Heat-map colours are fixed by the model, so they mean the same in every picture; outlines are
    around what is defective by its threshold, which is white in masks/ with --masks. The page of
    --report needs the extra: pip install 'softpatch[audit]'

    Examples:
    softpatch predict part.softpatch new/ -o results/

    softpatch predict part.softpatch new/ -o results/ --no-heatmaps --report
    """
    from softpatch.auditing.predictions import in_small, write_page
    from softpatch.errors import ImageError
    from softpatch.files import csv_bytes, write_atomically
    from softpatch.heatmap import mask, overlay
    from softpatch.images import image_sources
    from softpatch.loading import load
    from softpatch.pages import need_jinja

    if report:
        need_jinja()
    detector = load(model, device=device, weights=weights, batch_size=batch_size)
    output.mkdir(parents=True, exist_ok=True)
    own = output.resolve()  # a second run must not score the first one's heat maps
    sources = [
        source
        for source in image_sources(images)
        if not Path(source.name).resolve().is_relative_to(own)
    ]
    root = images if images.is_dir() else images.parent
    skipped = Skipped(strict)
    rows: list[dict[str, object]] = []
    shown: list[Prediction] = []
    started = time.perf_counter()
    with progress_bars() as progress:
        for prediction in detector.predict(sources, on_unreadable=skipped.handler):
            row = _row(prediction)
            # The whole file name is kept: a.png and a.jpg may lie side by side.
            drawn = f"{Path(prediction.name).relative_to(root)}.png"
            if heatmaps:
                drawing = overlay(Path(prediction.name), prediction, detector.normal_limit_)
                row["heatmap"] = _write(drawing, output, f"heatmaps/{drawn}")
            if masks:
                row["mask"] = _write(mask(prediction), output, f"masks/{drawn}")
            rows.append(row)
            if report:
                shown.append(in_small(prediction))
            progress("predict", len(rows) + len(skipped.errors), len(sources))
    skipped.report()
    if not rows:
        raise ImageError(str(images), "none of the pictures can be read")

    rows.sort(key=lambda row: -float(str(row["score"])))
    result = {
        "model": str(model),
        "normal_limit": detector.normal_limit_,
        "threshold": detector.threshold_,
        "predictions": rows,
        "skipped": [{"path": error.name, "reason": error.reason} for error in skipped.errors],
    }
    write_atomically(output / "predictions.csv", csv_bytes(rows))
    write_atomically(output / "predictions.json", (json.dumps(result, indent=2) + "\n").encode())
    if report:
        with progress_bars() as progress:
            write_page(shown, detector.normal_limit_, root, output, progress)
    _show(rows)
    took = duration(time.perf_counter() - started)
    say(f"scored {len(rows)} pictures in {took}, wrote {output}")


def _write(drawing: Image, output: Path, target: str) -> str:
    from softpatch.files import write_atomically
    from softpatch.heatmap import png_bytes

    (output / target).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output / target, png_bytes(drawing))
    return target


def _row(prediction: Prediction) -> dict[str, object]:
    height, width = prediction.size
    return {
        "path": prediction.name,
        "score": prediction.score,
        **prediction.verdict,
        "width": width,
        "height": height,
    }


def _show(rows: list[dict[str, object]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    judged = "anomalous" in rows[0]
    heads = ["score", "verdict", "picture"] if judged else ["score", "picture"]
    table = Table(*heads, title="Most anomalous pictures")
    for row in rows[:SHOWN]:
        verdict = [_verdict(row["anomalous"])] if judged else []
        table.add_row(f"{row['score']:.6g}", *verdict, escape(str(row["path"])))
    stdout().print(table)
    if judged:
        alarms = sum(bool(row["anomalous"]) for row in rows)
        stdout().print(f"{alarms} of {len(rows)} pictures are anomalous", highlight=False)


def _verdict(anomalous: object) -> str:
    return "anomalous" if anomalous else "good"
