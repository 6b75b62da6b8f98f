"""``softpatch watch``: score every picture that appears in a folder."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from softpatch.cli import options
from softpatch.cli.options import argument, flag, option, to_output
from softpatch.cli.terminal import note, say
from softpatch.compute.log_lines import LogLines, descriptor_of
from softpatch.runtime.errors import printable

Print = Callable[[str], None]


@options.reads_pictures
def watch(
    model: Path = argument("A file written by softpatch fit, or by softpatch export."),
    folder: Path = argument("Where pictures appear, in it or below."),
    output: Path = to_output("Folder for results.jsonl and heat maps."),
    move: Path | None = option("Move pictures there when done.  [they stay]"),
    heatmaps: bool = option(
        "Write a heat map per picture.", "--heatmaps/--no-heatmaps", default=True
    ),
    once: bool = flag("--once", "End when all that is there is done."),
    interval: float = option(
        "Seconds between looks, and that a picture must not change before it.", default=1.0
    ),
    patience: float = option("Seconds until an unreadable picture is given up.", default=30.0),
    weights: str | None = options.Features.weights,
    device: str = options.Running.device,
) -> None:
    """Score each picture in FOLDER once: a line in results.jsonl and a heat map.

    Can be killed at any moment and goes on where it was. Ctrl-C or SIGTERM end it after the current
    picture. A folder that goes away or a full disk is told, and waited for. Programs that write
    slowly should write under a hidden name (.part.png) and rename.

    Examples:
    softpatch watch part.softpatch camera/ -o results/ --move done/

    softpatch watch part.onnx camera/ -o results/   # without torch
    """
    from softpatch.errors import UsageError
    from softpatch.runtime.targets import check_folder
    from softpatch.runtime.verdict import WORDS
    from softpatch.watch import by_exported, by_model
    from softpatch.watch import watch as watch_folder
    from softpatch.watch.scoring import EXPORTED
    from softpatch.watch.watching import check_folders

    check_folder(output)
    if move is not None:
        check_folder(move)
    if model.suffix in EXPORTED:
        if weights is not None or device not in ("auto", "cpu"):
            raise UsageError(f"{model}: an exported file takes no --weights and no --device")
        score = by_exported(model)
    else:
        from softpatch.detectors.load import load

        score = by_model(load(model, device=device, weights=weights))
    check_folders(folder, move)
    output.mkdir(parents=True, exist_ok=True)
    if move is not None:
        move.mkdir(parents=True, exist_ok=True)

    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: ended.append(number))

    with lines_to(sys.stdout, say, once) as result, lines_to(sys.stderr, note, once) as remark:
        remark(f"watching {folder}; Ctrl-C ends it")
        for record in watch_folder(
            score,
            folder,
            output,
            move=move,
            heatmaps=heatmaps,
            once=once,
            interval=interval,
            patience=patience,
            model=model,
            stopped=lambda: bool(ended),
            tell=lambda line: remark(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}"),
        ):
            found = [f"{record['score']:.6g}"] if "score" in record else []
            found += [WORDS[record["verdict"]]] if "verdict" in record else []
            found += [record["remark"]] if "remark" in record else []
            found += [record["error"]] if "error" in record else []
            result(f"{', '.join(found)}  {record['path']}")


@contextmanager
def lines_to(stream: TextIO, printed: Print, waiting: bool) -> Iterator[Print]:
    """Print lines on a stream without failing the work, and unless ``waiting``, without holding it.

    A pipe that nobody reads would hold it; ``printed`` is how they are printed otherwise.
    """
    descriptor = None if waiting else descriptor_of(stream)
    if descriptor is None:

        def unfailing(line: str) -> None:
            with suppress(OSError):
                printed(line)

        yield unfailing
        return
    lines = LogLines(descriptor, encoding=stream.encoding)
    try:
        yield lambda line: lines.emit(logging.makeLogRecord({"msg": printable(line)}))
    finally:
        lines.close()
