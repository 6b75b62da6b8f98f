"""What goes wrong, in turn: each is real, and harmless to what is outside the stage.

Each returns what is wrong with how it ended, and is over then.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.faults.disks import filled, read_only
from benchmarks.faults.mutations import mutated
from benchmarks.faults.requests import GOES, HEAD, HOSTILE, ask, request
from benchmarks.soak.stage import RECOVERS, Client, Stage, replace_file, until
from benchmarks.soak.usage import descendants

LASTS = 3.0  # seconds
MANY = 150  # connections, of which one address may have 64
Fault = Callable[[Stage], str | None]


def hostile_requests(stage: Stage) -> str | None:
    kinds = 3 * list(HOSTILE)
    contents = [HOSTILE[kind](stage.draw, stage.draw.choice(stage.pictures)) for kind in kinds]
    with ThreadPoolExecutor(9) as pool:  # some of them wait until the service gives them up
        problems = pool.map(lambda content: ask(stage.port, content, None)[1], contents)
    return "; ".join(filter(None, problems)) or None


def clients_that_go_away(stage: Stage) -> str | None:
    for _ in range(20):
        content = request(stage.draw.choice(stage.pictures) * 40)
        ask(stage.port, content[: stage.draw.randrange(len(content))] + GOES, None)
    return None


def silent_connections(stage: Stage) -> str | None:
    """Some say nothing at all, some stop within a head, some within a body."""
    said = (b"", HEAD, request(stage.pictures[0])[:-9])
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(stage)) for _ in range(15)]
        for number, one in enumerate(connections):
            one.sendall(said[number % len(said)])
        for one in connections:
            one.settimeout(RECOVERS)
            try:
                while one.recv(65536):
                    pass
            except ConnectionError:
                pass
            except TimeoutError:
                return f"not closed within {RECOVERS:.0f} s"
    return None


def many_connections(stage: Stage) -> str | None:
    """Each with a request; those that are too many may be refused or closed."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(stage)) for _ in range(MANY)]
        for one in connections:
            with suppress(ConnectionError):
                one.sendall(request(stage.draw.choice(stage.pictures)))
        statuses = set()
        for one in connections:
            one.settimeout(RECOVERS)
            try:
                statuses.add(one.recv(65536)[9:12].decode())
            except ConnectionError:
                statuses.add("")
            except TimeoutError:
                return f"no answer within {RECOVERS:.0f} s"
    fine = {"200"} <= statuses <= {"200", "503", ""}
    return None if fine else f"answers were {sorted(statuses)}"


def odd_files_in_the_folder(stage: Stage) -> str | None:
    """Some are never read; the others get a line that says why there is no score."""
    stem = f"odd-{stage.draw.randrange(10**9)}"
    good = stage.draw.choice(stage.pictures)
    with stage.camera:
        contents = (b"", good[:-40], mutated(good, stage.draw)[1], b"no picture", bytes(500))
        named = [stage.inbox / f"{stem}-{number}.png" for number in range(len(contents))]
        for path, content in zip(named, contents, strict=True):
            path.write_bytes(content)
        os.mkfifo(stage.inbox / f"{stem}-pipe.png")
        (stage.inbox / f"{stem}-nowhere.png").symlink_to("nowhere.png")
        (stage.inbox / f"{stem}-itself.png").symlink_to(f"{stem}-itself.png")
        (stage.inbox / f"{stem}-folder.png").mkdir()
    recorded = until(lambda: all(stage.recorded(path.name) for path in named))
    for name in ("pipe", "nowhere", "itself"):
        (stage.inbox / f"{stem}-{name}.png").unlink()
    (stage.inbox / f"{stem}-folder.png").rmdir()
    return None if recorded else "no lines for odd files"


def vanishing_pictures(stage: Stage) -> str | None:
    """Gone while they are seen, waited for or scored."""
    for number in range(10):
        path = stage.inbox / f"vanishing-{stage.draw.randrange(10**9)}-{number}.png"
        with stage.camera:
            path.write_bytes(stage.draw.choice(stage.pictures))
            time.sleep(stage.draw.uniform(0, 0.2))
            path.unlink(missing_ok=True)
    return None


def slow_writing(stage: Stage) -> str | None:
    """A good picture that is written in pieces, in place."""
    name = stage.name()
    content = stage.pictures[stage.dropped[name]]
    with stage.camera, (stage.inbox / name).open("wb", buffering=0) as file:
        for start in range(0, len(content), 1 + len(content) // 6):
            file.write(content[start : start + 1 + len(content) // 6])
            time.sleep(0.3)
    return None if until(lambda: stage.recorded(name)) else "not recorded"


def watched_folder_moved_away(stage: Stage) -> str | None:
    away = stage.folder / "away"
    with stage.camera:
        stage.drop()
        stage.inbox.rename(away)
        told = told_meanwhile(stage, "cannot be listed")
        away.rename(stage.inbox)
    return told or over(stage, stage.inbox)


def results_rotated(stage: Stage) -> str | None:
    """Moved away for good, as log rotation does: others are begun."""
    stage.out.rename(stage.disk / f"rotated-{stage.draw.randrange(10**9)}")
    stage.drop()
    return None if until(stage.out.is_dir) else "no results were begun anew"


def results_moved_away_and_back(stage: Stage) -> str | None:
    """With the ones that are begun meanwhile left beside them."""
    away = stage.disk / f"away-{stage.draw.randrange(10**9)}"
    stage.out.rename(away)
    stage.drop()
    begun = until(stage.out.is_dir)
    if begun:
        stage.out.rename(away.with_name(f"meanwhile-{away.name}"))
    with suppress(OSError):  # it has just begun others again, which are what there is now
        away.rename(stage.out)
    return None if begun else "no results were begun anew"


def results_cannot_be_written(stage: Stage) -> str | None:
    if not stage.mounts:
        return None
    with read_only(stage.out):
        stage.drop()
        told = told_meanwhile(stage, "cannot be written to")
    return told or over(stage, stage.out)


def full_disk(stage: Stage) -> str | None:
    if not stage.mounts:
        return None
    with ExitStack() as stack:
        with stage.camera:  # or what is just being written makes room again
            until(stage.settled)
            stack.enter_context(filled(stage.disk / "filler", 0))
        stage.drop()
        told = told_meanwhile(stage, "cannot be written to")
    return told or over(stage, stage.out)


def another_model(stage: Stage) -> str | None:
    """The same one anew, another one, and the first one again."""
    part, other = ((stage.folder / f"{name}.softpatch").read_bytes() for name in ("part", "other"))
    replace_file(stage.model, part)
    time.sleep(LASTS)
    problem = None
    for name, content in (("other", other), ("part", part)):
        stage.answering |= {name}
        replace_file(stage.model, content)
        if not until(lambda name=name: stage.answers_by(name)):  # type: ignore[misc]
            problem = f"not served in time: {name}"
        elif problem is None:  # or one may still come late
            stage.answering = frozenset({name})
    return problem


def damaged_model(stage: Stage) -> str | None:
    """In place of the good one, which is served on, and is put back."""
    good = (stage.folder / "part.softpatch").read_bytes()
    replace_file(stage.model, mutated(good, stage.draw)[1])
    noticed = until(lambda: problem_of(stage) is not None)
    replace_file(stage.model, good)
    mended = until(lambda: problem_of(stage) is None)
    return None if noticed and mended else f"noticed: {noticed}, mended: {mended}"


def decoders_killed(stage: Stage) -> str | None:
    found = list(descendants(stage.serve.pid))
    for process in found:
        os.kill(process, signal.SIGKILL)
    return None if found else "there are no decoders"


def decoders_stopped(stage: Stage) -> str | None:
    stopped(list(descendants(stage.serve.pid)))
    return None


def service_stopped(stage: Stage) -> str | None:
    stopped([stage.serve.pid])
    return None


def watch_stopped(stage: Stage) -> str | None:
    stopped([stage.watch.pid])
    return None


def logs_that_nobody_reads(stage: Stage) -> str | None:
    """Until both pipes are full; the service answers nonetheless."""
    with unread(stage, "serve", "serve's errors", "watch", "watch's errors"):
        for _ in range(20):
            stage.drop()
        client = Client(stage.port)
        for _ in range(150):
            if client.ask("GET", "/models")[0] != 200:
                return "the service does not answer"
        time.sleep(LASTS)
    return None


def told_meanwhile(stage: Stage, words: str) -> str | None:
    """Wait until ``watch`` says so, and for a while."""
    fine = until(lambda: stage.told(words))
    time.sleep(LASTS)
    return None if fine else f"not told: {words}"


def over(stage: Stage, place: Path) -> str | None:
    """Wait until ``watch`` says that the trouble with a place is over."""
    fine = until(lambda: stage.told(f"{place}: all right again"))
    return None if fine else f"not told that {place} is all right again"


def problem_of(stage: Stage) -> str | None:
    """What the service says is wrong with the model's file."""
    [model] = json.loads(Client(stage.port).ask("GET", "/models")[1])
    found: str | None = model["Problem"]
    return found


def stopped(processes: list[int]) -> None:
    for number, seconds in ((signal.SIGSTOP, LASTS), (signal.SIGCONT, 0)):
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        time.sleep(seconds)


@contextmanager
def unread(stage: Stage, *logs: str) -> Iterator[None]:
    for name in logs:
        stage.logs[name].reading.clear()
    yield
    for name in logs:
        stage.logs[name].reading.set()


def connected(stage: Stage) -> socket.socket:
    """From another address than the good clients'."""
    return socket.create_connection(("127.0.0.1", stage.port), RECOVERS, ("127.0.0.2", 0))


FAULTS: dict[str, Fault] = {
    fault.__name__.replace("_", " "): fault
    for fault in (
        hostile_requests, odd_files_in_the_folder, another_model, clients_that_go_away,
        watched_folder_moved_away, silent_connections, vanishing_pictures, damaged_model,
        many_connections, results_rotated, decoders_killed, slow_writing, full_disk,
        decoders_stopped, results_moved_away_and_back, service_stopped, logs_that_nobody_reads,
        results_cannot_be_written, watch_stopped,
    )
}  # fmt: skip
