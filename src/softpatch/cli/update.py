"""``softpatch update``: a model learns from more pictures, without the ones it learned from."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from softpatch.cli import options
from softpatch.cli.inputs import learned_before, listed, without
from softpatch.cli.options import argument, flag, option
from softpatch.cli.terminal import Skipped, duration, note, progress_bars, say
from softpatch.errors import DatasetError, ImageError, UsageError

if TYPE_CHECKING:
    from softpatch.detectors import BankDetector

NAMED = 5  # pictures that a refusal names


@options.reads_pictures
@options.changes("model")
def update(
    model: Path = options.MODEL,
    folder: Path = argument("The new pictures, searched recursively."),
    forget: float = option(
        "Share of what the memory bank holds to forget first, such as 0.1.", default=0.0
    ),
    suspects: Path | None = option("Also write the new pictures, most suspicious first, as CSV."),
    exclude: Path | None = options.EXCLUDE,
    yes: bool = flag("--yes", "Learn also where MODEL so far calls too many of them bad."),
    weights: str | None = options.Features.weights,
    device: str = options.Running.device,
    memory_limit: int | None = options.Running.memory_limit,
    strict: bool = options.STRICT,
) -> None:
    """Let MODEL learn from the pictures in FOLDER, some of which may be bad.

    The old pictures are not needed; those that are among the new ones are left out. MODEL becomes
    the next version of itself; the one before is kept beside it, and softpatch rollback brings it
    back.

    First MODEL is asked about the pictures, which are read twice for that. Where it calls more of
    them bad than of good ones, you are asked whether it is to learn them; where nobody can
    answer, it does not, unless --yes says so.

    Examples:
    softpatch update part.softpatch photos/today/

    softpatch update part.softpatch photos/today/ --forget 0.1
    """
    from softpatch.storage.targets import is_model, is_ranking

    options.check_output(suspects, "the suspects", is_ranking)

    from softpatch.cli.fit import show_suspects, write_suspects
    from softpatch.detectors import BankDetector, SoftPatch
    from softpatch.detectors.load import load
    from softpatch.storage.versions import write_version

    detector = load(model, device=device, weights=weights)
    options.check_output(model, "the model", is_model)
    if not isinstance(detector, BankDetector):
        raise UsageError(f"{model}: a {detector.method} model cannot be updated; fit again")
    detector.memory_limit = memory_limit
    before = len(detector.image_names_)
    skipped, again = Skipped(strict), set[Path]()
    started = time.perf_counter()
    try:
        pictures = without(exclude, listed(folder), folder)
        known = set(detector.image_names_) & set(map(str, pictures))
        if known:
            note(f"{len(known)} of the pictures have names of pictures learned before")
        again = learned_before(detector, pictures)
        if again:
            note(f"left out {len(again)} picture(s) that {model} has learned already")
            pictures = [path for path in pictures if path not in again]
        if pictures:
            _ask(detector, model, pictures, suspects, yes)
            with progress_bars() as progress:
                detector.update(
                    pictures, forget=forget, on_unreadable=skipped.handler, progress=progress
                )
    except (DatasetError, ImageError):
        if not again or len(skipped.errors) < len(pictures):
            raise  # else what is left can be read as little as the last time
    finally:
        skipped.report()
    if len(detector.image_names_) == before:
        say(f"nothing new in {folder}: {model} stays version {detector.lineage_.version}")
        return
    if isinstance(detector, SoftPatch) and suspects is not None:
        # Before the model: once that has learned the pictures, no other run ranks them.
        write_suspects(detector.suspects(first=before), suspects)
    write_version(detector, model)
    took = duration(time.perf_counter() - started)
    say(
        f"added {len(detector.image_names_) - before} pictures to {before} in {took}, "
        f"wrote {model}, version {detector.lineage_.version} ({len(detector.bank_)} vectors)"
    )
    if (promise := detector.promise()) is not None:
        say(str(promise))
    elif detector.threshold_ is not None:
        say(f"threshold {detector.threshold_}, as it was set")
    if isinstance(detector, SoftPatch):
        show_suspects(detector, "Most suspicious new pictures", first=before)


def _ask(
    detector: BankDetector, model: Path, pictures: Sequence[Path], suspects: Path | None, yes: bool
) -> None:
    """Say how many of the pictures the model calls bad, and ask where these are too many.

    Raises:
        DatasetError: they are, and nobody says that they are to be learned.
    """
    if detector.threshold_ is None:
        return
    from softpatch.calling.expected import too_many
    from softpatch.cli.fit import write_suspects
    from softpatch.detectors.calibrated import FALSE_ALARMS
    from softpatch.images.sources import ignore_unreadable

    found = []
    with progress_bars() as progress:
        for one in detector.predict(list(pictures), on_unreadable=ignore_unreadable):
            found.append((one.name, one.score, one.anomalous))
            progress("predict", len(found), len(pictures))
    found.sort(key=lambda one: one[1], reverse=True)
    bad = [Path(path).name for path, _, anomalous in found if anomalous]
    said = f"{len(bad)} of {len(found)} new pictures are bad by {model} so far"
    if found:
        note(said)
    promise = detector.promise()
    expected = (detector.max_false_alarms or FALSE_ALARMS) if promise is None else promise.expected
    if yes or not found or not too_many(len(bad), len(found), expected):
        return
    if suspects is not None:  # to look at before anybody answers
        write_suspects([(path, score) for path, score, _ in found], suspects)
    if sys.stdin.isatty():
        note(f"the worst are {', '.join(bad[:NAMED])}")
        if typer.confirm("Learn them all the same?", err=True):
            return
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    raise DatasetError(
        f"{said}, so nothing was learned; look at {', '.join(bad[:NAMED])}{more} (--suspects FILE "
        "lists all by score), leave the bad ones out with --exclude, or give --yes"
    )
