"""``softpatch watch``: score every picture that appears in a folder."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from softpatch.cli import options
from softpatch.cli.terminal import note, say


def watch(
    model: Annotated[
        Path, typer.Argument(help="A file written by softpatch fit, or by softpatch export.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where pictures appear, in it or below.")],
    output: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for results.jsonl and heat maps.")
    ],
    move: Annotated[
        Path | None, typer.Option(help="Move pictures there when done.  [they stay]")
    ] = None,
    heatmaps: Annotated[
        bool, typer.Option("--heatmaps/--no-heatmaps", help="Write a heat map per picture.")
    ] = True,
    once: Annotated[
        bool, typer.Option("--once", help="End when all that is there is done.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.01, help="Seconds between looks, and without a change.")
    ] = 1.0,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds until an unreadable picture is given up.")
    ] = 30.0,
    weights: options.Weights = None,
    device: options.Device = "auto",
) -> None:
    """Score each picture in FOLDER once: a line in results.jsonl and a heat map.

    Can be stopped or killed at any moment and goes on where it was. Ctrl-C or SIGTERM end it after
    the picture it is at. Programs that write slowly should write under a hidden name (.part.png)
    and rename.

    Example:
    softpatch watch part.softpatch camera/ --out results/ --move done/

    softpatch watch part.onnx camera/ --out results/   # without torch
    """
    from softpatch.errors import UsageError
    from softpatch.watch import by_exported, by_model
    from softpatch.watch import watch as watch_folder
    from softpatch.watch.scoring import EXPORTED

    if model.suffix in EXPORTED:
        if weights is not None or device not in ("auto", "cpu"):
            raise UsageError(f"{model}: an exported file takes no --weights and no --device")
        score = by_exported(model)
    else:
        from softpatch.detectors.load import load

        score = by_model(load(model, device=device, weights=weights))
    output.mkdir(parents=True, exist_ok=True)
    if move is not None:
        move.mkdir(parents=True, exist_ok=True)

    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: ended.append(number))
    said = f"watching {folder}; Ctrl-C ends it"
    note(said)
    for record in watch_folder(
        score,
        folder,
        output,
        move=move,
        heatmaps=heatmaps,
        once=once,
        interval=interval,
        patience=patience,
        stopped=lambda: bool(ended),
    ):
        said = record["error"] if "error" in record else f"{record['score']:.6g}"
        say(f"{said}  {record['path']}")
