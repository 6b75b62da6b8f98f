"""Pictures that are known to be good or bad: their scores, and the side of a limit they are on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softpatch.calling.rates import Rate
from softpatch.calling.words import rounded
from softpatch.cli.inputs import learned_before, listed
from softpatch.cli.terminal import note, progress_bars, say, show_table
from softpatch.errors import DatasetError

if TYPE_CHECKING:
    import numpy.typing as npt

    from softpatch.detectors import Detector
    from softpatch.images.sources import OnUnreadable

GOOD, BAD = "good", "bad"  # names of the folders
SHOWN = 20


@dataclass(frozen=True)
class Known:
    """One of them, scored."""

    path: str
    label: str  # GOOD or BAD
    score: float

    def right(self, limit: float) -> bool:
        """Whether it is on its side of the limit."""
        return (self.score > limit) == (self.label == BAD)


def labelled(folder: Path) -> dict[str, list[Path]]:
    """The pictures in the folders good and bad.

    Raises:
        DatasetError: one of them is missing, or has none.
    """
    for label in (GOOD, BAD):
        if not (folder / label).is_dir():
            raise DatasetError(f"{folder}: expected the folders good and bad in it")
    return {label: listed(folder / label) for label in (GOOD, BAD)}


def scored(
    detector: Detector, pictures: Mapping[str, Sequence[Path]], on_unreadable: OnUnreadable
) -> list[Known]:
    """Score pictures, by label; notes those that the model has learned from."""
    every = [path for paths in pictures.values() for path in paths]
    if again := learned_before(detector, every):
        note(
            f"{len(again)} of the {len(every)} pictures are among those that the model has learned "
            "from, which score lower than others"
        )
    found: list[Known] = []
    with progress_bars() as progress:
        for label, paths in pictures.items():
            for prediction in detector.predict(paths, on_unreadable=on_unreadable):
                found.append(Known(prediction.name, label, prediction.score))
                progress("predict", len(found), len(every))
    return found


def scores_of(known: Iterable[Known], label: str) -> npt.NDArray[np.float64]:
    """Of those with the label."""
    return np.array([one.score for one in known if one.label == label])


def above(scores: npt.NDArray[np.floating], limit: float) -> Rate:
    """How many of at least one picture a limit stops."""
    return Rate(int((scores > limit).sum()), len(scores))


def show_wrong(known: Sequence[Known], limit: float) -> None:
    """Print those on the wrong side, the farthest first."""
    wrong = [one for one in known if not one.right(limit)]
    if not wrong:
        return
    wrong.sort(key=lambda one: -abs(one.score - limit))
    rows = [(one.path, one.label, rounded(one.score)) for one in wrong[:SHOWN]]
    show_table(
        f"On the wrong side of {rounded(limit)}", ("picture", "known as", "score"), rows, numbers=2
    )
    if len(wrong) > SHOWN:
        say(f"and {len(wrong) - SHOWN} more, which --csv FILE lists")


def write_judged(known: Iterable[Known], limit: float, path: Path) -> None:
    """Write all of them as CSV."""
    from softpatch.runtime.files import csv_bytes, write_atomically

    rows = [
        {
            "path": one.path,
            "known_as": one.label,
            "score": one.score,
            "told_right": one.right(limit),
        }
        for one in known
    ]
    write_atomically(path, csv_bytes(rows))
    say(f"wrote {path}")
