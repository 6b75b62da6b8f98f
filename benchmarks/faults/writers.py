"""Two commands that write the same files at once, again and again: one's work is never lost.

What both leave has to be what they leave one after the other, in either order, with the same exit
codes; or the one that came second has waited too long, says so, and has changed nothing.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from benchmarks.faults.commands import COMMANDS, Place, State, a_place
from benchmarks.faults.forks import Ended, Fork, run
from benchmarks.faults.kills import difference
from benchmarks.faults.tally import Tally, chosen

BUSY = "is being changed by"
Words = tuple[str, ...]
DEVICE = ("--device", "cpu")
UPDATE: Words = COMMANDS["update"].words
# What both start from, by a command's name, and the two.
PAIRS: dict[str, tuple[str, Words, Words]] = {
    "update, update": ("update", UPDATE, ("update", "part.softpatch", "inbox", *DEVICE)),
    "update, threshold": ("update", UPDATE, COMMANDS["threshold"].words),
    "update, rollback": ("rollback", ("update", "part.softpatch", "inbox", *DEVICE),
                         ("rollback", "part.softpatch")),
    "threshold, threshold": ("threshold", COMMANDS["threshold"].words,
                             ("threshold", "part.softpatch", "--value", "5")),
    "fit, update": ("update", COMMANDS["fit"].words, UPDATE),
    "merge, update": ("update", ("merge", "part.softpatch", "other.softpatch", "-o",
                                 "part.softpatch"), UPDATE),
    "fit, fit": ("fit", COMMANDS["fit"].words, ("fit", "inbox", *COMMANDS["fit"].words[2:])),
    "clean, clean": ("clean", COMMANDS["clean"].words, COMMANDS["clean"].words),
    "clean, clean --undo": ("clean --undo", COMMANDS["clean"].words,
                            COMMANDS["clean --undo"].words),
    "audit, audit": ("audit", COMMANDS["audit"].words, COMMANDS["audit"].before[0]),
    "fit-many, fit-many": ("fit-many", COMMANDS["fit-many"].words, COMMANDS["fit-many"].words),
    "export, export": ("export to OpenVINO", COMMANDS["export to OpenVINO"].words,
                       COMMANDS["export to OpenVINO"].before[0]),
}  # fmt: skip
Outcome = tuple[tuple[int, int], State]


def campaign(count: int, seed: int, only: str) -> Tally:
    """Start each pair ``count`` times."""
    draw = random.Random(seed)
    names = chosen(PAIRS, only)
    tally = Tally("writers", count * len(names))
    with tempfile.TemporaryDirectory() as root, a_place(Path(root)) as place:
        for name in names:
            start, *words = PAIRS[name]
            allowed, alone, longest = one_after_the_other(place, start, words)
            for _ in range(count):
                place.begin(start)
                ended = together(place, words, draw.uniform(-longest, longest))
                state = place.state()
                problem = wrong(ended, state, allowed, alone)
                busy = sum(BUSY in one.said for one in ended)
                end = f"{name}: told to wait" if busy else name
                tally.add(end, problem and f"{name}: {problem}")
    return tally


def one_after_the_other(
    place: Place, start: str, words: list[Words]
) -> tuple[list[Outcome], list[tuple[int, State]], float]:
    """How both end in either order, and each alone; the seconds of the longer one."""
    allowed: list[Outcome] = []
    alone, seconds = [], []
    for first in (0, 1):
        place.begin(start)
        codes = [0, 0]
        for which in (first, 1 - first):
            began = time.monotonic()
            codes[which] = run(place.folder, *words[which]).code
            if which == first:
                seconds.append(time.monotonic() - began)
                alone.append((codes[which], place.state()))
        allowed.append(((codes[0], codes[1]), place.state()))
    return allowed, alone, max(seconds)


def together(place: Place, words: list[Words], later: float) -> list[Ended]:
    """Both at once; the second so many seconds later, or the first."""
    order = (0, 1) if later >= 0 else (1, 0)
    forks = {}
    for which in order:
        forks[which] = Fork(place.folder, words[which])
        if which == order[0]:
            time.sleep(abs(later))
    return [forks[which].end() for which in (0, 1)]


def wrong(
    ended: list[Ended], state: State, allowed: list[Outcome], alone: list[tuple[int, State]]
) -> str | None:
    codes = (ended[0].code, ended[1].code)
    for which, one in enumerate(ended):
        if BUSY in one.said:
            other = 1 - which
            fine = one.code == 1 and (codes[other], state) == alone[other]
            return None if fine else f"{codes}, though one says it has changed nothing"
    if (codes, state) in allowed:
        return None
    said = " / ".join(one.said[-200:] for one in ended if one.code)
    near = min((outcome[1] for outcome in allowed), key=lambda s: len(s.items() ^ state.items()))
    return f"ended with {codes}; {difference(state, near)} {said}"
