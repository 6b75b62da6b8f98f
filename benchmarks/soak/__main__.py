"""``softpatch serve`` and ``softpatch watch`` for some time, with a fault a minute.

Eight clients ask at once every two seconds, and every second a picture appears in the watched
folder. Each answer is compared with the model's own score; each good picture must have exactly one
line of results, with its own score, and be where ``--move`` puts it. After each fault all must be
as before within two minutes. What both processes take, with those that they start, is to stay
the same (``usage``). Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import random
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.disks import a_disk, mounts
from benchmarks.faults.tally import Tally
from benchmarks.processes import say
from benchmarks.soak.faults import FAULTS
from benchmarks.soak.stage import Client, Stage, until
from benchmarks.soak.usage import Change, Sampling, shown

CLIENTS = 8
CLIENTS_EVERY = 2.0  # seconds
PICTURES_EVERY = 1.0
FAULTS_EVERY = 60.0
SAMPLES_EVERY = 2.0
LEAST = 5.0  # minutes, of which two are the warm-up
WARM_UP = 0.4  # share of the time in which each fault is met once, if that takes a minute each
DISK, DISK_PER_MINUTE = 100 * 10**6, 3 * 10**6  # bytes for results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.minutes < LEAST:
        parser.error(f"takes at least {LEAST:.0f} minutes")
    disks = mounts(without="a full disk and results that cannot be written")
    seconds = 60 * arguments.minutes
    tally = Tally("soak", round(seconds * (CLIENTS / CLIENTS_EVERY + 1 / PICTURES_EVERY)))
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder) / "disk"
        disk.mkdir()
        size = DISK + round(arguments.minutes * DISK_PER_MINUTE)
        with a_disk(size, str(disk)) if disks else nullcontext():
            stage = Stage(Path(folder), disk, disks, tally, random.Random(arguments.seed))
            changes = soak(stage, seconds)
    print(tally)
    print(shown(changes))
    sys.exit(1 if tally.problems else 0)


def soak(stage: Stage, seconds: float) -> list[Change]:
    """All of it; what was taken first and last."""
    over = threading.Event()
    with stage.running(), ThreadPoolExecutor(CLIENTS + 1) as pool:
        load = [pool.submit(camera, stage, over)]
        load += [pool.submit(client, stage, over, at) for at in range(CLIENTS)]
        sampling = Sampling({"serve": stage.serve.pid, "watch": stage.watch.pid}, SAMPLES_EVERY)
        sampling.start()
        try:
            with_faults(stage, seconds, sampling)
        finally:
            over.set()
        for one in load:
            one.result()
        changes = sampling.end()
        until(stage.settled)
    good_pictures(stage)
    for change in changes:
        stage.tally.add(f"flat: {change.flat}", change.problem)
    return changes


def with_faults(stage: Stage, seconds: float, sampling: Sampling) -> None:
    """One after the other until the time is over."""
    began = time.monotonic()
    every = min(FAULTS_EVERY, WARM_UP * seconds / len(FAULTS))
    for number, name in enumerate(itertools.cycle(FAULTS)):
        if number == len(FAULTS):
            sampling.warm()
        if number >= len(FAULTS) and time.monotonic() > began + seconds:
            return
        say(f"{(time.monotonic() - began) / 60:.1f} min: {name} ({sampling})")
        for log in stage.logs.values():
            log.lines.clear()
        try:
            problem = FAULTS[name](stage) or after(stage)
        except Exception as error:  # the others are tried nonetheless
            problem = f"{type(error).__name__}: {error}"
        end = "goes on" if problem is None else "trouble"
        stage.tally.add(f"fault, {name}: {end}", problem and f"{name}: {problem}")
        left = began + min(seconds, (number + 1) * every) - time.monotonic()
        time.sleep(max(0.0, left))


def after(stage: Stage) -> str | None:
    """What is not as before, after a fault."""
    for process, name in ((stage.serve, "serve"), (stage.watch, "watch")):
        if process.poll() is not None:
            said = list(stage.logs[f"{name}'s errors"].lines)
            return f"{name} has ended: {said}"
    if not until(lambda: stage.answers_by("part")):
        return "the service does not answer as before"
    name = stage.drop()
    return None if until(lambda: stage.recorded(name)) else f"{name} has no line of results"


def camera(stage: Stage, over: threading.Event) -> None:
    for _ in ticks(PICTURES_EVERY, over):
        stage.drop()


def client(stage: Stage, over: threading.Event, at: int) -> None:
    connection = Client(stage.port)
    for tick in ticks(CLIENTS_EVERY, over):
        which = (tick * CLIENTS + at) % len(stage.pictures)
        before = stage.answering
        try:
            status, content = connection.detect(stage.pictures[which])
        except (OSError, http.client.HTTPException) as error:
            stage.tally.add("request: no answer", f"no answer: {type(error).__name__} {error}")
        else:
            stage.judge(which, before | stage.answering, status, content)


def ticks(seconds: float, over: threading.Event) -> Iterator[int]:
    """Count, at the same moments in all threads."""
    while not over.wait(seconds - time.monotonic() % seconds):
        yield round(time.monotonic() / seconds)


def good_pictures(stage: Stage) -> None:
    """Whether each has one line with its score, and is where it is to be."""
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in stage.records():
        records[record["path"]].append(record)
    for name, which in stage.dropped.items():
        found = records[name]
        score = stage.scores["part"][which]
        if len(found) != 1:
            problem = f"{name} has {len(found)} lines of results"
        elif "error" in found[0] or not np.isclose(found[0]["score"], score, rtol=1e-3):
            problem = f"{name}: {found[0]}; its score is {score}"
        elif (stage.done / name).read_bytes() != stage.pictures[which]:
            problem = f"{name} is not what it was"
        else:
            problem = None
        stage.tally.add(f"dropped picture: {'wrong' if problem else 'right'}", problem)
    for name in records.keys() - stage.dropped.keys():
        once = len(records[name]) == 1
        stage.tally.add("odd file: a line", None if once else f"{name} has several lines")


if __name__ == "__main__":
    main()
