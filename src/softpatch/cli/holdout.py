"""Whether a limit holds for good pictures of another day."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from softpatch.calling.rates import Rate, chance_of_fewer, chance_of_more
from softpatch.calling.words import of_so_many, rounded
from softpatch.cli import known
from softpatch.cli.inputs import learned_before, listed
from softpatch.cli.terminal import Skipped, note, say, show_table
from softpatch.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from softpatch.detectors import Detector

BY_CHANCE = 0.025  # so many more, or so many fewer, are taken for chance down to this


def hold_out(
    model: Path, detector: Detector, folder: Path, skipped: Skipped, csv: Path | None
) -> None:
    """Show the false alarms of good pictures that the model has not seen, beside the training's.

    Raises:
        UsageError: the model has no threshold.
        DatasetError: there are no such pictures.
        ImageError: when strict, one that cannot be used.
    """
    limit = detector.threshold_
    if limit is None:
        raise UsageError(f"{model}: has no threshold to check; softpatch threshold sets one")
    pictures = listed(folder)
    if again := learned_before(detector, pictures):
        note(f"left out {len(again)} picture(s) that {model} has learned from")
        pictures = [path for path in pictures if path not in again]
    found = known.scored(detector, {known.GOOD: pictures}, skipped.add)
    skipped.report()
    if not found:
        raise DatasetError(f"{folder}: no picture in it that can be scored and is new to {model}")
    new = known.above(known.scores_of(found, known.GOOD), limit)
    rates = {str(folder): new}
    reference = detector.learned_.calibration.reference
    if reference is not None:
        trained = known.above(reference, limit)
        rates = {"training, each scored without itself": trained, **rates}
    rows = []
    for name, rate in rates.items():
        low, high = rate.interval()
        counts = f"{rate.count} of {rate.of}", f"{rate.share:.1%}"
        rows.append((name, *counts, f"{low:.1%} to {high:.1%}"))
    columns = ("good pictures", "stopped", "share", "95 % interval")
    show_table(f"False alarms at the limit {rounded(limit)}", columns, rows, numbers=1)
    known.show_wrong(found, limit)
    if csv is not None:
        known.write_judged(found, limit, csv)
    if len(rates) > 1:
        say(_compared(new, trained, folder))
    skipped.end()


def _compared(new: Rate, trained: Rate, folder: Path) -> str:
    """Whether chance explains how many of the new pictures are stopped."""
    more, fewer = chance_of_more(new, trained), chance_of_fewer(new, trained)
    if min(more, fewer) > BY_CHANCE:
        if chance_of_more(Rate(new.of, new.of), trained) > BY_CHANCE:
            return "so few pictures cannot tell whether the limit holds: chance could stop them all"
        return "no more or fewer false alarms than chance would have"
    (parts,), base = of_so_many(min(more, fewer))
    often = f"{parts:,} of {base:,}" if parts else f"fewer than 1 of {base:,}"
    many = f"so {'many' if more < fewer else 'few'} would be stopped in {often} such folders"
    what = (
        "the limit does not hold for them: look at them, and fit with good ones of such days, too"
        if more < fewer
        else "the limit is higher than these pictures need"
    )
    return f"were the pictures of {folder} like those of the training, {many}; {what}"
