"""``softpatch fit``: a folder of pictures -> a model file and a list of suspects."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softpatch.cli import inputs, options
from softpatch.cli.options import option, to_output
from softpatch.cli.terminal import Skipped, duration, note, progress_bars, say, say_next, show_table
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.detectors import Detector, SoftPatch
    from softpatch.distributed.sharded_coreset import Coverage
    from softpatch.images.image_source import ImageSource

SHOWN = 10
WORTH_ESTIMATING = 40  # images; fewer are fitted as fast as estimated


@options.reads_pictures
@options.takes(*options.DETECTOR, options.Threshold)
@options.changes("output")
def fit(
    folder: str = options.TRAINING,
    output: Path = to_output("The model file to write."),
    suspects: Path | None = option(
        "Also write all training pictures, most suspicious first, as CSV."
    ),
    exclude: Path | None = options.EXCLUDE,
    checkpoint: Path | None = option(
        "Folder that keeps what is finished: a fit that was killed goes on with it. "
        "Removed once the model is written."
    ),
    strict: bool = options.STRICT,
    engine: str = inputs.ENGINE,
    address: str | None = inputs.ADDRESS,
    coreset: str | None = inputs.of_cluster(
        "exact: as without a cluster; sharded: no machine holds all patches; auto: exact up to 2 "
        "million patches.  [auto]"
    ),
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
    if output.is_dir():
        raise UsageError(f"{output}: is a folder; name a file such as part.softpatch")
    if suspects is not None and suspects.resolve() == output.resolve():
        raise UsageError(f"{output}: cannot be both the model and the list of suspects")
    from softpatch.storage.targets import is_model, is_ranking

    options.check_output(output, "the model", is_model)
    options.check_output(suspects, "the suspects", is_ranking)

    from softpatch.calling.words import of_look_limit
    from softpatch.detectors import BankDetector, CalibratedDetector, SoftPatch, make_detector
    from softpatch.detectors.embedder import Embed, Embedder
    from softpatch.images.days import one_day
    from softpatch.runtime.intensity import FULL
    from softpatch.storage.versions import lineage_of, versions_folder, write_version

    if coreset is not None and engine == "local":
        raise UsageError("--coreset goes with --engine ray")
    if checkpoint is not None and engine == "ray":
        raise UsageError("--checkpoint goes without --engine ray")
    if versions_folder(output).is_dir() and output.exists():
        lineage_of(output)  # raises now, not after the fit, where the version could not be kept
    detector = make_detector(method, **given)
    if suspects is not None and not isinstance(detector, SoftPatch):
        raise UsageError(f"{method} does not rank its training pictures; use softpatch")
    if coreset == "sharded" and not isinstance(detector, BankDetector):
        raise UsageError(f"{method} has no coreset to pick in shards")
    skipped = Skipped(strict)
    started = time.perf_counter()
    embed: Embed = Embedder.collect
    coverage: Coverage | None = None
    try:
        with inputs.cluster_of(engine, address) as cluster:
            pictures = inputs.images_of(folder, cluster, exclude)
            if cluster is None:
                _say_estimate(detector, pictures)
            else:
                from softpatch.distributed.sharded_patches import OnCluster

                embed = on_cluster = OnCluster(cluster, coreset or "auto")
            with progress_bars() as progress:
                detector.fit(
                    pictures,
                    embed=embed,
                    checkpoint=checkpoint,
                    on_unreadable=skipped.handler,
                    progress=progress,
                )
            if cluster is not None:
                coverage = on_cluster.coverage
    finally:
        skipped.report()
    if versions_folder(output).is_dir():
        write_version(detector, output)
    else:
        detector.save(output)
    took = duration(time.perf_counter() - started)
    say(
        f"fitted {method} on {len(detector.image_names_)} pictures in {took}, wrote {output} "
        f"({output.stat().st_size / 1e6:.0f} MB)"
    )
    if (intensity := detector.features.intensity) != FULL:
        say(
            f"pictures of more than 8 bits: {intensity.low} is black and {intensity.high} white; "
            "if that is wrong, fit with --intensity LOW:HIGH"
        )
    if coverage is not None:
        say(
            f"the bank was picked in shards: no patch that may enter it is farther than "
            f"{coverage.radius:.4g}; no bank of its size comes closer than "
            f"{coverage.separation / 2:.4g}"
        )
    if isinstance(detector, CalibratedDetector) and (promise := detector.promise()) is not None:
        for line in promise.told(detector.image_names_):
            say(line)
        if detector.look_ is not None:
            say(of_look_limit(detector.look_, detector.threshold_))
    if detector.threshold_ is not None and (day := one_day(pictures)) is not None:
        note(
            f"all pictures were taken on {day}: a limit learned from one day often does "
            f"not hold on the next; softpatch threshold {output} --holdout FOLDER, with good "
            "pictures of another day, checks it"
        )
    if isinstance(detector, SoftPatch):
        if detector.floors_ is not None:
            say(f"to be taken as good, a patch of a training picture needs {detector.floors_}")
        show_suspects(detector, "Most suspicious training pictures")
        if suspects is not None:
            write_suspects(detector.suspects(), suspects)
    say_next("softpatch", "predict", output, "new/", "-o", "results/")


def _say_estimate(detector: Detector, pictures: Sequence[Path | ImageSource]) -> None:
    from softpatch.cli.estimate import in_one_line
    from softpatch.errors import DatasetError

    if len(pictures) < WORTH_ESTIMATING:
        return
    with suppress(DatasetError):  # too few of the probed images can be read; the fit names them
        note(in_one_line(detector.estimate(pictures)))


def show_suspects(detector: SoftPatch, title: str, first: int = 0) -> None:
    """Print the most suspicious training pictures, from that one on, and how many stand out."""
    from softpatch.calling.words import rounded

    found = detector.contamination()
    # In the same order, as more suspicion never means less confidence.
    confidence = sorted(found.confidence[first:], reverse=True)
    rows = [
        (str(rank), rounded(suspicion), f"{sure:.0%}", name)
        for rank, ((name, suspicion), sure) in enumerate(
            zip(detector.suspects(first)[:SHOWN], confidence[:SHOWN], strict=True), start=1
        )
    ]
    show_table(title, ("rank", "suspicion", "confidence", "picture"), rows)
    if not first:
        say(f"{found}")


def write_suspects(suspects: list[tuple[str, float]], path: Path) -> None:
    """Write all of them as CSV."""
    from softpatch.runtime.files import csv_bytes, write_atomically

    rows = [
        {"rank": rank, "suspicion": suspicion, "path": name}
        for rank, (name, suspicion) in enumerate(suspects, start=1)
    ]
    write_atomically(path, csv_bytes(rows))
    say(f"wrote {path}")
