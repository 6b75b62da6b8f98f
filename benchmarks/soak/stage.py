"""Both commands at work, what they work on, and ways to look at them."""

from __future__ import annotations

import fcntl
import http.client
import itertools
import json
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.faults.requests import PART, prepare
from benchmarks.faults.tally import Tally
from tests.cli.test_cli import COMMAND
from tests.serving.process import serving

MODELS = {"part": slice(8), "other": slice(8, 20)}  # the pictures that each has learned
SECONDS = 60.0  # for an answer, and for the end of a process
RECOVERS = 120.0  # seconds after a fault in which all must be as before, on a busy machine
TIMES = ("--head-seconds", 3, "--body-seconds", 5, "--idle-seconds", 5)
PATIENCE = 2.0  # seconds for which a picture that cannot be read may be half copied
INTERVAL = 0.5  # seconds between looks at the folder
PIPE = 4096  # bytes of a log that wait to be read
KIND = {"Content-Type": "multipart/form-data; boundary=x"}


class Log(threading.Thread):
    """Reads what a process says, unless it is told not to."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.reading = threading.Event()
        self.reading.set()
        self.lines: deque[str] = deque(maxlen=200)
        self.traceback = False
        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, PIPE)
        self.start()

    def run(self) -> None:
        for line in self._stream:
            self.traceback |= "Traceback" in line
            self.lines.append(line)
            self.reading.wait()


class Client:
    """A connection to the service that stays open as long as the service lets it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and content of the answer.

        Raises:
            OSError, HTTPException: there is none.
        """
        fresh = self._connection.sock is None
        try:
            return self._ask(method, path, body)
        except ConnectionError:  # on one that was open, which the service may have closed meanwhile
            if fresh:
                raise
            return self._ask(method, path, body)

    def detect(self, picture: bytes) -> tuple[int, bytes]:
        return self.ask("POST", "/models/part/detect", PART + picture + b"\r\n--x--\r\n")

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        try:
            self._connection.request(method, path, body, {} if body is None else KIND)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self._connection.close()
            raise


@dataclass
class Stage:
    """A folder with all that is needed, and the two processes.

    Attributes:
        disk: holds the results, and nothing else.
        draw: decides what is left to chance.
        mounts: whether it may be filled, and made read-only.
        scores: of each picture, by each model.
        answering: the models of which one may answer at the moment.
        camera: held while nothing may be put into the watched folder.
        dropped: which picture has which name there.
    """

    folder: Path
    disk: Path
    mounts: bool
    tally: Tally
    draw: random.Random
    answering: frozenset[str] = frozenset({"part"})
    camera: threading.RLock = field(default_factory=threading.RLock)
    dropped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pictures: list[bytes] = []
        self.scores: dict[str, list[float]] = {}
        for name, learned in MODELS.items():
            model = self.folder / f"{name}.softpatch"
            self.pictures, self.scores[name] = prepare(model, learned)
        self.model = self.folder / "served.softpatch"
        shutil.copy(self.folder / "part.softpatch", self.model)
        self.inbox, self.done = self.folder / "inbox", self.folder / "done"
        self.inbox.mkdir()
        self.out = self.disk / "out"
        self._names = itertools.count()

    @contextmanager
    def running(self) -> Iterator[None]:
        """With both processes; they end in order, or that is a problem."""
        watching = [
            COMMAND, "watch", self.model, self.inbox, "-o", self.out, "--move", self.done,
            "--interval", INTERVAL, "--patience", PATIENCE, "--device", "cpu",
        ]  # fmt: skip
        with (
            serving(Path(f"part={self.model}"), *TIMES, stdout=subprocess.PIPE) as served,
            subprocess.Popen(
                list(map(str, watching)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as self.watch,
        ):
            self.serve, self.port = served
            self.logs = {
                "serve": Log(stream(self.serve.stdout)),
                "serve's errors": Log(stream(self.serve.stderr)),
                "watch": Log(stream(self.watch.stdout)),
                "watch's errors": Log(stream(self.watch.stderr)),
            }
            try:
                yield
            finally:
                for process in (self.serve, self.watch):
                    process.send_signal(signal.SIGTERM)
                codes = [process.wait(SECONDS) for process in (self.serve, self.watch)]
                for log in self.logs.values():
                    log.join()
        self.tally.add(f"ends: {codes}", None if codes == [0, 0] else f"exit codes {codes}")
        for name, log in self.logs.items():
            if log.traceback:
                self.tally.add("log: a traceback", f"{name} holds a traceback: {list(log.lines)}")

    def drop(self) -> str:
        """Put a good picture into the watched folder, under a new name."""
        with self.camera:
            name = self.name()
            replace_file(self.inbox / name, self.pictures[self.dropped[name]])
        return name

    def name(self) -> str:
        """One for the next good picture."""
        number = next(self._names)
        name = f"{number:06}.png"
        self.dropped[name] = number % len(self.pictures)
        return name

    def settled(self) -> bool:
        """Whether every good picture has been put where it is to be."""
        return not any(self.inbox.glob("[0-9]*.png"))

    def records(self) -> Iterator[dict[str, Any]]:
        """All lines of results, from journals that were moved away, too."""
        for journal in sorted(self.disk.glob("*/results.jsonl")):
            yield from map(json.loads, journal.read_text().splitlines())

    def recorded(self, name: str) -> bool:
        words = f'"path": "{name}"'
        return any(words in journal.read_text() for journal in self.disk.glob("*/results.jsonl"))

    def judge(self, which: int, answering: frozenset[str], status: int, content: bytes) -> None:
        """Compare an answer with the models' own, of which one of ``answering`` may have it."""
        problem = None
        if status == 200:
            [result] = json.loads(content)["Results"]
            may = [self.scores[model][which] for model in answering]
            if not np.isclose(result["Score"], may, rtol=1e-3).any():
                problem = f"{result['Score']} is not the picture's score, {may}"
        elif status != 503:  # no room
            problem = f"a good request is answered {status}: {content[:300]!r}"
        self.tally.add(f"request: {status if problem is None or status != 200 else 'wrong'}",
                       problem)  # fmt: skip

    def answers_by(self, model: str) -> bool:
        """Whether the service scores as one of the models does."""
        status, content = Client(self.port).detect(self.pictures[0])
        if status != 200:
            return False
        [result] = json.loads(content)["Results"]
        return bool(np.isclose(result["Score"], self.scores[model][0], rtol=1e-3))

    def told(self, words: str) -> bool:
        """Whether ``watch`` has said this since the fault began."""
        return any(words in line for line in list(self.logs["watch's errors"].lines))


def stream(found: IO[str] | None) -> IO[str]:
    assert found is not None
    return found


def until(true: Callable[[], bool], seconds: float = RECOVERS) -> bool:
    """Wait for something; False if it does not come."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def replace_file(path: Path, content: bytes) -> None:
    """As careful programs do it."""
    passing = path.with_name(f".{path.name}")
    passing.write_bytes(content)
    passing.replace(path)
