"""``softpatch predict``: score pictures with a fitted model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softpatch.cli import engine as on
from softpatch.cli import options
from softpatch.cli.terminal import Skipped, duration, progress_bars, say, stdout
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from softpatch.runtime.prediction import Prediction

SHOWN = 10


def predict(
    model: Annotated[Path, typer.Argument(help="A file written by softpatch fit.")],
    images: Annotated[str, typer.Argument(help="A picture, or a folder searched recursively.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder for the table and heat maps.")
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
    engine: on.Engine = "local",
    address: on.Address = None,
    maps: Annotated[
        bool,
        typer.Option("--maps", rich_help_panel="On a Ray cluster", help="Keep anomaly maps, too."),
    ] = False,
) -> None:
    """Score IMAGES: OUTPUT gets predictions.csv, predictions.json and heatmaps/.

    Heat-map colours are fixed by the model, so they mean the same in every picture; outlines are
    around what is defective by its threshold, which is white in masks/ with --masks. On a Ray
    cluster, OUTPUT gets predictions.parquet, a folder of tables, and no heat maps. The page of
    --report needs the extra: pip install 'softpatch[audit]'

    Examples:
    softpatch predict part.softpatch new/ -o results/

    softpatch predict part.softpatch new/ -o results/ --no-heatmaps --report

    softpatch predict part.softpatch s3://bucket/new -o s3://bucket/results --engine ray
    """
    on.check_engine(engine, address)
    if engine == "ray":
        if report:
            raise UsageError("--report shows pictures of this machine, without --engine ray")
        if masks:
            raise UsageError("--masks goes without --engine ray")
        run = {"device": device, "weights": weights, "batch_size": batch_size}
        _predict_on_cluster(model, images, output, address, run, maps, Skipped(strict))
        return
    if maps:
        raise UsageError("--maps goes with --engine ray; --heatmaps draws them")
    _predict(
        model, Path(images), Path(output), heatmaps, report, masks, Skipped(strict),
        device=device, weights=weights, batch_size=batch_size,
    )  # fmt: skip


def _predict_on_cluster(
    model: Path,
    images: str,
    output: str,
    address: str | None,
    run: dict[str, Any],
    maps: bool,
    skipped: Skipped,
) -> None:
    started = time.perf_counter()
    with on.cluster_of("ray", address) as cluster, progress_bars() as progress:
        from softpatch.distributed.pictures import find_pictures
        from softpatch.distributed.predictions import NAME, predict_to_parquet
        from softpatch.images.sources import image_sources

        assert cluster is not None
        found = [Path(images)] if Path(images).is_file() else find_pictures(images)
        try:
            scored = predict_to_parquet(
                cluster, model, list(image_sources(found)), output, maps=maps,
                run=run, on_unreadable=skipped.handler, progress=progress,
            )  # fmt: skip
        finally:
            skipped.report()
    _show_worst([(name, score, None) for name, score in scored.worst])
    if scored.anomalous is not None:
        say(f"{scored.anomalous} of {scored.pictures} pictures are anomalous")
    took = duration(time.perf_counter() - started)
    say(f"scored {scored.pictures} pictures in {took}, wrote {output.rstrip('/')}/{NAME}")


def _predict(
    model: Path,
    images: Path,
    output: Path,
    heatmaps: bool,
    report: bool,
    masks: bool,
    skipped: Skipped,
    **run: Any,
) -> None:
    from softpatch.detectors.load import load
    from softpatch.errors import ImageError
    from softpatch.images.sources import image_sources
    from softpatch.pages.predictions import in_small, write_page
    from softpatch.pages.render import need_jinja
    from softpatch.predictions.heatmap import mask, overlay
    from softpatch.runtime.files import csv_bytes, write_atomically

    if report:
        need_jinja()
    detector = load(model, **run)
    output.mkdir(parents=True, exist_ok=True)
    own = output.resolve()  # a second run must not score the first one's heat maps
    sources = [
        source
        for source in image_sources(images)
        if not Path(source.name).resolve().is_relative_to(own)
    ]
    root = images if images.is_dir() else images.parent
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
    from softpatch.runtime.files import write_atomically
    from softpatch.runtime.heatmap import png_bytes

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


def _show_worst(rows: Iterable[tuple[str, float, bool | None]]) -> None:
    """Name, score and, where it is told, whether anomalous, of the first pictures."""
    from rich.markup import escape
    from rich.table import Table

    shown = list(rows)[:SHOWN]
    judged = shown[0][2] is not None
    heads = ["score", "verdict", "picture"] if judged else ["score", "picture"]
    table = Table(*heads, title="Most anomalous pictures")
    for name, score, anomalous in shown:
        verdict = [_verdict(anomalous)] if judged else []
        table.add_row(f"{score:.6g}", *verdict, escape(name))
    stdout().print(table)


def _show(rows: list[dict[str, Any]]) -> None:
    _show_worst((row["path"], row["score"], row.get("anomalous")) for row in rows)
    if "anomalous" in rows[0]:
        alarms = sum(bool(row["anomalous"]) for row in rows)
        stdout().print(f"{alarms} of {len(rows)} pictures are anomalous", highlight=False)


def _verdict(anomalous: object) -> str:
    return "anomalous" if anomalous else "good"
