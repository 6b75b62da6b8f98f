"""``softpatch predict``: score pictures with a fitted model."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softpatch.cli import inputs, options
from softpatch.cli.options import argument, flag, option, to_output
from softpatch.cli.terminal import Skipped, duration, note, progress_bars, say, show_table
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.runtime.prediction import Prediction
    from softpatch.runtime.verdict import Verdict

SHOWN = 10


@options.reads_pictures
def predict(
    model: Path = options.MODEL,
    images: str = argument("A picture, or a folder searched recursively."),
    output: str = to_output("Folder for the table and heat maps."),
    heatmaps: bool | None = option(
        "Write a heat map per picture.  [yes]", "--heatmaps/--no-heatmaps"
    ),
    report: bool = flag("--report", "Also write predictions.html, to look through."),
    masks: bool = flag("--masks", "Write masks of what is defective, too."),
    fdr: float | None = option(
        "Also say which pictures of this lot are bad, so that at most this share of them is good, "
        "such as 0.1."
    ),
    weights: str | None = options.Features.weights,
    device: str = options.Running.device,
    batch_size: int | None = options.Running.batch_size,
    strict: bool = options.JUDGE_ALL,
    engine: str = inputs.ENGINE,
    address: str | None = inputs.ADDRESS,
    maps: bool = inputs.of_cluster("Keep anomaly maps, too.", "--maps", default=False),
) -> None:
    """Score IMAGES: OUTPUT gets predictions.csv, predictions.json and heatmaps/.

    Each picture is good, worth a look, or bad. Heat-map colours are fixed by the model and go with
    the verdict: none, faint or clear; outlines are around what is defective by its threshold, which
    is white in masks/ with --masks. On a Ray
    cluster, OUTPUT gets predictions.parquet, a folder of tables, and no heat maps. The page of
    --report needs the extra: pip install 'softpatch[audit]'

    Examples:
    softpatch predict part.softpatch new/ -o results/

    softpatch predict part.softpatch new/ -o results/ --no-heatmaps --report

    softpatch predict part.softpatch lot/ -o results/ --fdr 0.1

    softpatch predict part.softpatch s3://bucket/new -o s3://bucket/results --engine ray
    """
    inputs.check_engine(engine, address)
    run = {"device": device, "weights": weights, "batch_size": batch_size}
    if engine == "local":
        if maps:
            raise UsageError("--maps goes with --engine ray; --heatmaps draws them")
        flags = {"heatmaps": heatmaps is not False, "masks": masks, "report": report}
        _predict(model, Path(images), Path(output), Skipped(strict), flags, fdr, run)
        return
    if fdr is not None:
        raise UsageError("--fdr goes without --engine ray")
    if report:
        raise UsageError("--report shows pictures of this machine, without --engine ray")
    for name, given in (("heatmaps", heatmaps), ("masks", masks)):
        if given:
            raise UsageError(f"--{name} goes without --engine ray")
    _predict_on_cluster(model, images, output, address, Skipped(strict), maps, run)


def _predict(
    model: Path, images: Path, output: Path, skipped: Skipped, flags: dict[str, bool],
    fdr: float | None, run: dict[str, Any],
) -> None:  # fmt: skip
    from softpatch.calling.false_discovery import Discoveries
    from softpatch.detectors.load import load
    from softpatch.errors import ImageError
    from softpatch.images.sources import listed_sources
    from softpatch.pages.predictions import Page
    from softpatch.pages.render import need_jinja
    from softpatch.predictions.overlays import mask, overlay
    from softpatch.ranges.table import check
    from softpatch.runtime import writers
    from softpatch.runtime.prediction import odd_ones
    from softpatch.runtime.targets import check_results
    from softpatch.runtime.verdict import tally

    check_results(output, writers.BEGINNINGS)
    if flags["report"]:
        need_jinja()
    if fdr is not None:
        check("fdr", fdr)
    detector = load(model, **run)
    lot = None
    if fdr is not None:
        reference = detector.learned_.calibration.reference
        if reference is None:
            raise UsageError(f"{model}: has no scores of good pictures, so no p-values for --fdr")
        lot = Discoveries(fdr, len(reference))
    sources = listed_sources(inputs.listed(images) if images.is_dir() else images)
    output.mkdir(parents=True, exist_ok=True)
    root = images if images.is_dir() else images.parent
    limit = detector.normal_limit_
    started = time.perf_counter()
    with progress_bars() as progress:
        asked: list[writers.Writer] = []
        if flags["heatmaps"]:
            asked.append(
                writers.Drawings(output, root, "heatmap", lambda one: overlay(one.name, one, limit))
            )
        if flags["masks"]:
            asked.append(writers.Drawings(output, root, "mask", mask))
        if lot is not None:
            asked.append(lot)
        about = model, limit, detector.threshold_
        asked.append(writers.Tables(output, *about, skipped.errors, detector.look_))
        if flags["report"]:
            asked.append(Page(output, root, limit, progress))

        def predictions() -> Iterator[Prediction]:
            found = detector.predict(sources, on_unreadable=skipped.add)
            for count, prediction in enumerate(found, start=1):
                yield prediction
                progress("predict", count + len(skipped.errors), len(sources))

        rows = writers.write_predictions(predictions(), asked)
    skipped.report()
    odd = writers.remarks(rows)
    if words := odd_ones(odd):
        note(words)
    for error in writers.without_drawing(rows):
        note(f"scored, but {error}")
        skipped.add(error)
    if not rows:
        skipped.end()
        raise ImageError(str(images), "none of the pictures can be judged")
    _show((row["path"], row["score"], row.get("verdict")) for row in rows[:SHOWN])
    if words := tally(row.get("verdict") for row in rows):
        say(words)
    if lot is not None:
        say(lot.words(rows))
    took = duration(time.perf_counter() - started)
    say(f"scored {len(rows)} pictures in {took}, wrote {output}")
    skipped.end(odd)


def _predict_on_cluster(
    model: Path, images: str, output: str, address: str | None, skipped: Skipped, maps: bool,
    run: dict[str, Any],
) -> None:  # fmt: skip
    started = time.perf_counter()
    with inputs.cluster_of("ray", address) as cluster, progress_bars() as progress:
        from softpatch.distributed.predict import NAME, predict_to_parquet
        from softpatch.images.sources import image_sources
        from softpatch.runtime.prediction import odd_ones
        from softpatch.runtime.verdict import tally

        assert cluster is not None
        found = [Path(images)] if Path(images).is_file() else inputs.found_at(images)
        try:
            scored = predict_to_parquet(
                cluster, model, list(image_sources(found)), output, maps=maps,
                run=run, on_unreadable=skipped.add, progress=progress,
            )  # fmt: skip
        finally:
            skipped.report()
    if words := odd_ones(scored.odd):
        note(words)
    _show(scored.worst)
    if words := tally(scored.verdicts.elements()):
        say(words)
    took = duration(time.perf_counter() - started)
    say(f"scored {scored.pictures} pictures in {took}, wrote {output.rstrip('/')}/{NAME}")
    skipped.end(scored.odd)


def _show(worst: Iterable[tuple[str, float, Verdict | None]]) -> None:
    """Print name, score and, if there is one, the verdict."""
    from softpatch.runtime.verdict import WORDS

    rows = [
        [f"{score:.6g}", *([] if verdict is None else [WORDS[verdict]]), name]
        for name, score, verdict in worst
    ]
    verdict = ["verdict"] if len(rows[0]) > 2 else []
    show_table("Most anomalous pictures", ["score", *verdict, "picture"], rows)
