"""``softpatch fit``: a folder of pictures -> a model file and a list of suspects."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softpatch.cli import engine as on
from softpatch.cli import options
from softpatch.cli.terminal import Skipped, duration, progress_bars, say, stderr, stdout
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.detectors import Detector
    from softpatch.images.sources import ImageSource

SHOWN = 10
WORTH_ESTIMATING = 40  # pictures; fewer take no longer than foreseeing it


@options.builds_detector
def fit(
    folder: Annotated[str, typer.Argument(help="Training pictures, searched recursively.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model file to write.")],
    suspects: Annotated[
        Path | None,
        typer.Option(help="Also write all training pictures, most suspicious first, as CSV."),
    ] = None,
    exclude: options.Exclude = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps what is finished: a fit that was killed goes on with it. "
            "Removed once the model is written."
        ),
    ] = None,
    max_false_alarms: options.MaxFalseAlarms = None,
    strict: options.Strict = False,
    engine: on.Engine = "local",
    address: on.Address = None,
    coreset: on.Coreset = None,
    *,
    method: str,
    given: dict[str, Any],
) -> None:
    """Learn what is normal from FOLDER, some of whose pictures may be bad.

    Examples:
    softpatch fit photos/ -o part.softpatch

    softpatch fit photos/ -o part.softpatch --suspects suspects.csv --preset paper

    softpatch fit photos/ -o part.softpatch --max-false-alarms 0.05

    softpatch fit photos/ -o part.softpatch --checkpoint unfinished/

    softpatch fit s3://bucket/photos -o part.softpatch --engine ray --address auto
    """
    options.check_folder_of(output, "the model")
    if output.is_dir():
        raise UsageError(f"{output}: is a folder; name a file such as part.softpatch")
    options.check_folder_of(suspects, "the suspects")

    from softpatch.cli.threshold import in_words
    from softpatch.detectors import SoftPatch, make_detector
    from softpatch.detectors.patchcore import MemoryBankDetector
    from softpatch.storage.versions import versions_folder, write_version

    if coreset is not None and engine == "local":
        raise UsageError("--coreset goes with --engine ray")
    if checkpoint is not None and engine == "ray":
        raise UsageError("--checkpoint goes without --engine ray")
    detector = make_detector(method, **options.with_threshold(method, given, max_false_alarms))
    if suspects is not None and not isinstance(detector, SoftPatch):
        raise UsageError(f"{method} does not rank its training pictures; use softpatch")
    skipped = Skipped(strict)
    started = time.perf_counter()
    try:
        with on.cluster_of(engine, address) as cluster:
            pictures = on.pictures_of(folder, cluster, exclude)
            if cluster is None:
                _say_estimate(detector, pictures)
            else:
                from softpatch.distributed.detectors import on_cluster

                detector = on_cluster(detector, cluster, coreset or "auto")
            with progress_bars() as progress:
                detector.fit(
                    pictures,
                    checkpoint=checkpoint,
                    on_unreadable=skipped.handler,
                    progress=progress,
                )
    finally:
        skipped.report()
    if versions_folder(output).is_dir():
        write_version(detector, output)
    else:
        detector.save(output)
    took = duration(time.perf_counter() - started)
    stdout().print(
        f"fitted {method} on {len(detector.image_names_)} pictures in {took}, wrote {output} "
        f"({output.stat().st_size / 1e6:.0f} MB)",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    coverage = getattr(detector, "coverage_", None)
    if coverage is not None:
        say(
            f"the bank was picked in shards: no patch that may enter it is farther than "
            f"{coverage.radius:.4g}; no bank of its size comes closer than "
            f"{coverage.separation / 2:.4g}"
        )
    if isinstance(detector, MemoryBankDetector) and detector.max_false_alarms is not None:
        promise = in_words(detector.choose_threshold(detector.max_false_alarms))
        say(promise)
    if isinstance(detector, SoftPatch):
        if detector.alignment_ is not None:
            say(
                f"{detector.alignment_:.0%} of what looks alike in two pictures is at the same "
                f"place: taken for softpatch-{detector.strategy.discriminator}"
            )
        show_suspects(detector.suspects(), "Most suspicious training pictures")
        if suspects is not None:
            write_suspects(detector.suspects(), suspects)


def _say_estimate(detector: Detector, pictures: Sequence[Path | ImageSource]) -> None:
    from softpatch.cli.estimate import in_one_line
    from softpatch.errors import DatasetError

    if len(pictures) < WORTH_ESTIMATING:
        return
    with suppress(DatasetError):  # too few of the probed ones can be read; the fit says which
        stderr().print(in_one_line(detector.estimate(pictures)), highlight=False, soft_wrap=True)


def show_suspects(suspects: list[tuple[str, float]], title: str) -> None:
    """Print the first of them as a table."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("rank", "suspicion", "picture", title=title)
    for rank, (name, suspicion) in enumerate(suspects[:SHOWN], start=1):
        table.add_row(str(rank), f"{suspicion:.3f}", escape(name))
    stdout().print(table)


def write_suspects(suspects: list[tuple[str, float]], path: Path) -> None:
    """Write all of them as CSV."""
    from softpatch.runtime.files import csv_bytes, write_atomically

    rows = [
        {"rank": rank, "suspicion": suspicion, "path": name}
        for rank, (name, suspicion) in enumerate(suspects, start=1)
    ]
    write_atomically(path, csv_bytes(rows))
    say(f"wrote {path}")
