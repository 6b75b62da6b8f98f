"""``softpatch update``: a model learns from more pictures, without the ones it learned from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from softpatch.cli import options
from softpatch.cli.exclude import without
from softpatch.cli.terminal import Skipped, duration, note, progress_bars, say
from softpatch.errors import UsageError


def update(
    model: Annotated[Path, typer.Argument(help="A file written by softpatch fit.")],
    folder: Annotated[Path, typer.Argument(help="The new pictures, searched recursively.")],
    forget: Annotated[
        float,
        typer.Option(help="Share of what the memory bank holds to forget first, such as 0.1."),
    ] = 0.0,
    suspects: Annotated[
        Path | None,
        typer.Option(help="Also write the new pictures, most suspicious first, as CSV."),
    ] = None,
    exclude: options.Exclude = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    memory_limit: options.MemoryLimit = None,
    strict: options.Strict = False,
) -> None:
    """Let MODEL learn from the pictures in FOLDER, some of which may be bad.

    The old pictures are not needed. MODEL becomes the next version of itself; the one before is
    kept beside it, and softpatch rollback brings it back.

    Examples:
    softpatch update part.softpatch photos/today/

    softpatch update part.softpatch photos/today/ --forget 0.1
    """
    options.check_folder_of(suspects, "the suspects")

    from softpatch.cli.fit import show_suspects, write_suspects
    from softpatch.cli.threshold import in_words
    from softpatch.detectors import SoftPatch
    from softpatch.detectors.load import load
    from softpatch.detectors.patchcore import MemoryBankDetector
    from softpatch.runtime.images import list_images
    from softpatch.storage.versions import write_version

    detector = load(model, device=device, weights=weights)
    if not isinstance(detector, MemoryBankDetector):
        raise UsageError(f"{model}: {detector.method} has no memory bank to update; fit again")
    from softpatch.detectors.options import parse_options

    detector.memory_limit = parse_options({"memory_limit": memory_limit}).get("memory_limit")
    before = len(detector.image_names_)
    skipped = Skipped(strict)
    started = time.perf_counter()
    try:
        pictures = without(exclude, list_images(folder), folder)
        known = set(detector.image_names_) & set(map(str, pictures))
        if known:
            note(f"{len(known)} of the pictures have names of pictures learned before")
        with progress_bars() as progress:
            detector.update(
                pictures, forget=forget, on_unreadable=skipped.handler, progress=progress
            )
    finally:
        skipped.report()
    write_version(detector, model)
    took = duration(time.perf_counter() - started)
    say(
        f"added {len(detector.image_names_) - before} pictures to {before} in {took}, "
        f"wrote {model}, version {detector.lineage_.version} ({len(detector.bank)} vectors)"
    )
    if detector.max_false_alarms is not None:
        chosen = detector.threshold_
        promise = detector.choose_threshold(detector.max_false_alarms)
        if promise.value == chosen:
            say(in_words(promise))
        else:
            say(f"threshold {chosen}, as it was set")
    if isinstance(detector, SoftPatch):
        new = detector.suspects(first=before)
        show_suspects(new, "Most suspicious new pictures")
        if suspects is not None:
            write_suspects(new, suspects)
