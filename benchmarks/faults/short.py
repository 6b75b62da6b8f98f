"""Each command that writes with too little: a disk that fills, a read-only folder, no temporary
folder, little memory. It does its work, or ends with exit code 1 and one line, and has changed
nothing by halves.

Where the system does not allow this process disks of its own, only memory is tried.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.faults.commands import COMMANDS, Place, State, a_place
from benchmarks.faults.disks import a_disk, filled, mounted, mounts, read_only
from benchmarks.faults.forks import Ended, Fork
from benchmarks.faults.kills import damage, difference, differing, undisturbed, without
from benchmarks.faults.tally import Tally, chosen
from tests.cli.test_cli import COMMAND

MB = 10**6
DISK = 400 * MB  # of the file system that all is done in
MEMORY = (600, 1000, 1500, 2000, 3000)  # MB of address space, by turns for the commands
LEAST = 300  # for all of them
TEMPORARY = ("/tmp", "/var/tmp", "/usr/tmp")


def campaign(count: int, seed: int, only: str) -> Tally:
    """Fill the disk at ``count`` points of each command, and have it run short of the others."""
    del seed  # there is nothing to draw
    disks = mounts(without="full disks and read-only folders")
    names = chosen(COMMANDS, only)
    tally = Tally("short", (count + 4 if disks else 2) * len(names))
    disk = a_disk(DISK) if disks else tempfile.TemporaryDirectory()
    with disk as root, a_place(Path(root)) as place:
        for number, name in enumerate(names):
            states, _ = undisturbed(place, name)
            if disks:
                full(place, name, states, count, tally)
                in_a_read_only_folder(place, name, states, tally)
                no_temporary_folder(place, name, states, tally)
            for megabytes in (LEAST, MEMORY[number % len(MEMORY)]):
                little_memory(place, name, states, megabytes, tally)
    return tally


def full(place: Place, name: str, states: list[State], count: int, tally: Tally) -> None:
    """Leave no room, then some of what it writes; temporary files are on that disk, too."""
    words = COMMANDS[name].words
    place.begin(name)
    before = shutil.disk_usage(place.root).used
    Fork(place.folder, words).end()
    written = max(0, shutil.disk_usage(place.root).used - before)
    temporary = place.root / "tmp"
    temporary.mkdir(exist_ok=True)
    for part in range(count):
        place.begin(name)
        with filled(place.root / "filler", written * part // count):
            ended = Fork(place.folder, words, lambda: temporary_files_in(temporary)).end()
        judge(place, name, states, ended, f"a disk with {part}/{count} of the room", tally)


def in_a_read_only_folder(place: Place, name: str, states: list[State], tally: Tally) -> None:
    place.begin(name)
    with read_only(place.folder):
        ended = Fork(place.folder, COMMANDS[name].words).end()
    judge(place, name, states, ended, "a read-only folder", tally, may_work=False)


def no_temporary_folder(place: Place, name: str, states: list[State], tally: Tally) -> None:
    place.begin(name)
    with ExitStack() as stack:
        for folder in TEMPORARY:
            if Path(folder).is_dir():
                stack.enter_context(mounted("-t", "tmpfs", "-o", "ro", "none", folder))
        missing = place.root / "missing"
        ended = Fork(place.folder, COMMANDS[name].words, lambda: temporary_files_in(missing)).end()
    judge(place, name, states, ended, "no temporary folder", tally)


def temporary_files_in(folder: Path) -> None:
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # or the process remembers another


def little_memory(
    place: Place, name: str, states: list[State], megabytes: int, tally: Tally
) -> None:
    """A process of its own, as a fork has the memory of this one."""
    place.begin(name)
    limit = megabytes * MB
    done = subprocess.run(
        [COMMAND, *COMMANDS[name].words], cwd=place.folder, capture_output=True, text=True,
        check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    ended = Ended(done.returncode, done.stdout + done.stderr)
    judge(place, name, states, ended, f"{megabytes} MB of memory", tally)


def judge(
    place: Place, name: str, states: list[State], ended: Ended, what: str, tally: Tally,
    may_work: bool = True,
) -> None:  # fmt: skip
    """Whether it has worked, or has ended in one line and changed nothing by halves."""
    command, found, where = COMMANDS[name], place.state(), f"{name} with {what}"
    kind = what if "room" not in what else "a full disk"
    if ended.code == 0 and may_work:
        fine = found == states[1]
        tally.add(f"{kind}: worked", None if fine else f"{where}: {difference(found, states[1])}")
        return
    problem = None
    if ended.code != 1 or not clear(name, ended):
        problem = f"ended with {ended.code} and {len(ended.errors)} errors: {ended.said[-600:]}"
    reports = differing(command, states)  # which say what did not work
    problem = problem or damage(place, command, states, without(found, reports))
    if not problem and place.left_behind():
        problem = f"left {', '.join(place.left_behind())}"
    tally.add(f"{kind}: one line", problem and f"{where}: {problem}")


def clear(name: str, ended: Ended) -> bool:
    """Whether it says what is wrong in one line, or in one of each camera."""
    if name == "fit-many" and not ended.errors:
        return any(reason in ended.said for reason in (": cannot be written (", "out of memory"))
    return len(ended.errors) == 1 and ended.errors[0].startswith("error: ")
