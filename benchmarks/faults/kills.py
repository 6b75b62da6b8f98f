"""Each command that writes, killed at the file events that change something, and run again.

After a kill each file is the old one or the new one, whole; what belongs together is of one run, or
is refused; no picture and no version is gone. The next run succeeds, ends where one that nobody
killed does, and leaves nothing under a temporary name. A command with fewer such events than kills
were asked for is killed twice before that.
"""

from __future__ import annotations

import json
import mmap
import random
import tempfile
from pathlib import Path

from benchmarks.faults.commands import COMMANDS, Command, Place, State, a_place
from benchmarks.faults.forks import Ended, Fork, run
from benchmarks.faults.tally import Tally, chosen
from softpatch.errors import ModelFileError
from softpatch.runtime.exported import read_exported
from tests.killed import at_every_file_event, kill_at

RUNS = 4  # one after the other, that give the states in which a command may leave its files
PARTS = (".xml", ".bin")


def campaign(count: int, seed: int, only: str) -> Tally:
    """Kill each command ``count`` times."""
    draw = random.Random(seed)
    names = chosen(COMMANDS, only)
    tally = Tally("kills", count * len(names))
    with tempfile.TemporaryDirectory() as root, a_place(Path(root)) as place:
        for name in names:
            kill_one(place, name, count, draw, tally)
    return tally


def kill_one(place: Place, name: str, count: int, draw: random.Random, tally: Tally) -> None:
    command = COMMANDS[name]
    states, ends = undisturbed(place, name)
    events = events_of(place, name)
    told = differing(command, states)
    for number in kill_points(events, count):
        place.begin(name)
        if number > events:  # all are done
            number = draw.randint(1, events)
            kill(place, command, draw.randint(1, events))
        ended = kill(place, command, number)
        found = place.state()
        problem = None  # one that finds all done may say so
        if ended.code not in {-9, *(code for code, _ in ends)}:
            problem = f"ended with {ended.code}: {ended.said[-300:]}"
        problem = problem or damage(place, command, states, found)
        if problem is None:
            last = run(place.folder, *command.words)
            after = without(place.state(), told)
            if (last.code, after) not in ends:
                what = last.said[-300:] if last.code else difference(after, ends[0][1])
                problem = f"the next run ended with {last.code}: {what}"
            elif left := place.left_behind():
                problem = f"the next run has left {', '.join(left)}"
        where = f"{name}, event {number} of {events}"
        tally.add(f"{name} ({events} events)", problem and f"{where}: {problem}")


def undisturbed(place: Place, name: str) -> tuple[list[State], list[tuple[int, State]]]:
    """The files before and after each of some runs, and how each has ended."""
    command = COMMANDS[name]
    place.begin(name)
    states, codes = [place.state()], []
    for _ in range(RUNS):
        codes.append(run(place.folder, *command.words).code)
        states.append(place.state())
    told = differing(command, states)
    return states, [(code, without(s, told)) for code, s in zip(codes, states[1:], strict=True)]


def differing(command: Command, states: list[State]) -> set[str]:
    """Reports of what the run itself has done, which another does not do again."""
    first, second = states[1:3]
    return {
        path for path, what in first.items()
        if path.endswith(command.together) and second.get(path) != what
    }  # fmt: skip


def without(state: State, names: set[str]) -> State:
    return {path: what for path, what in state.items() if path not in names}


def events_of(place: Place, name: str) -> int:
    """How many a run that nobody kills has."""
    count = mmap.mmap(-1, 8)  # shared with the fork

    def one_more() -> None:
        count[:] = (int.from_bytes(count[:]) + 1).to_bytes(8)

    place.begin(name)
    words = COMMANDS[name].words
    ended = Fork(place.folder, words, lambda: at_every_file_event(one_more, writing=True)).end()
    assert ended.code == 0, ended.said
    return int.from_bytes(count[:])


def kill_points(events: int, count: int) -> list[int]:
    """Numbers of events: all or, evenly, as many as are asked for; beyond the last one, any."""
    if events >= count:
        return [1 + at * events // count for at in range(count)]
    return list(range(1, count + 1))


def kill(place: Place, command: Command, number: int) -> Ended:
    return Fork(place.folder, command.words, lambda: kill_at(number, writing=True)).end()


def damage(place: Place, command: Command, states: list[State], found: State) -> str | None:
    """What a kill must not leave."""
    old, new = states[0], states[1]
    for path, what in found.items():
        if path.endswith(command.growing) and (place.folder / path).name in command.growing:
            if problem := growing(place.folder / path):
                return problem
        elif what not in {state.get(path) for state in states}:
            return f"{path} is neither the old one nor the new one"
    lost = old.keys() & new.keys() - found.keys()
    if lost := {path for path in lost if not path.endswith((*command.together, *PARTS))}:
        return f"lost {', '.join(lost)}"
    if gone := set(old.values()) & set(new.values()) - set(found.values()):
        return f"lost what {[path for path, what in old.items() if what in gone]} held"
    mixed = {path: what for path, what in found.items() if path.endswith(command.together or "/")}
    if not any(mixed.items() <= state.items() for state in states):
        return f"{', '.join(mixed)} are of two runs"
    return exports(place, states, found)


def growing(path: Path) -> str | None:
    """Whole lines but, at most, for the last."""
    whole, end, _ = path.read_bytes().rpartition(b"\n")
    try:
        [json.loads(line) for line in (whole + end).splitlines()]
    except ValueError as error:
        return f"{path.name}: {error}"
    return None


def exports(place: Place, states: list[State], found: State) -> str | None:
    """Two files of an export are of one, or are refused."""
    parts = {path: what for path, what in found.items() if path.endswith(PARTS)}
    if "part.xml" not in parts:
        return None
    try:
        read_exported(place.folder / "part.xml")
    except ModelFileError:
        of_one = any(parts.items() <= state.items() and len(parts) == 2 for state in states)
        return "an export that is whole is refused" if of_one else None
    of_one = any(parts.items() <= state.items() for state in states)
    return None if of_one else "two halves of exports are taken for one"


def difference(one: State, other: State) -> str:
    names = {path for path, _ in one.items() ^ other.items()}
    return f"{', '.join(sorted(names)[:5])} differ from what an undisturbed run leaves"
