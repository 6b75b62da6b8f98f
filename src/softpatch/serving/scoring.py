"""The one thread that scores; pictures waiting for the same model are batched."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from softpatch.detectors import Detector
from softpatch.errors import ImageError
from softpatch.images.sources import ImageSource
from softpatch.runtime.prediction import Prediction

BATCH = 16  # pictures of several requests in one batch
Results = list[Prediction | ImageError]


class FullError(Exception):
    """The queue has no room for these pictures."""


@dataclass(frozen=True)
class _Job:
    detector: Detector
    pictures: Sequence[bytes]
    results: Future[Results] = field(default_factory=Future)


class ScoringQueue:
    """A queue of pictures scored by a thread, so that scoring never blocks the service."""

    def __init__(self, room: int, on_batch: Callable[[int], object]) -> None:
        """Room for so many pictures at a time; ``on_batch`` gets the number in each batch."""
        self.room = room
        self.waiting = 0
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="score", daemon=True)

    def start(self) -> None:
        """Start scoring."""
        self._thread.start()

    def close(self) -> None:
        """Score everything that waits, then stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    async def score(self, detector: Detector, pictures: Sequence[bytes]) -> Results:
        """Score encoded pictures; the result of one that cannot be decoded is an ``ImageError``.

        Raises:
            FullError: too many pictures are waiting.
        """
        job = _Job(detector, pictures)
        with self._changed:
            if self.waiting + len(pictures) > self.room:
                raise FullError
            self.waiting += len(pictures)
            self._jobs.append(job)
            self._changed.notify()
        return await asyncio.wrap_future(job.results)

    def _work(self) -> None:
        while jobs := self._next():
            pictures = sum(len(job.pictures) for job in jobs)
            wanted = [job for job in jobs if job.results.set_running_or_notify_cancel()]
            self._on_batch(pictures)
            answers = _scored(wanted)
            with self._changed:  # before answering, as a client may then send as many again
                self.waiting -= pictures
            for job, answer in answers:
                if isinstance(answer, Exception):
                    job.results.set_exception(answer)
                else:
                    job.results.set_result(answer)

    def _next(self) -> list[_Job]:
        """The job that waited longest and others for its model; none after ``close``."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            taken: list[_Job] = []
            others: deque[_Job] = deque()
            room = BATCH
            for job in self._jobs:
                fits = not taken or len(job.pictures) <= room
                if fits and (not taken or job.detector is taken[0].detector):
                    taken.append(job)
                    room -= len(job.pictures)
                else:
                    others.append(job)
            self._jobs = others
            return taken


def _scored(jobs: Sequence[_Job]) -> list[tuple[_Job, Results | Exception]]:
    """Score jobs of one model together, or one by one if one of them makes the model fail."""
    try:
        results = _score([picture for job in jobs for picture in job.pictures], jobs)
    except Exception as error:
        if len(jobs) == 1:
            return [(jobs[0], error)]
        return [answer for job in jobs for answer in _scored([job])]
    return [(job, [results.pop(0) for _ in job.pictures]) for job in jobs]


def _score(pictures: Sequence[bytes], jobs: Sequence[_Job]) -> Results:
    found: dict[int, Prediction | ImageError] = {}

    def unreadable(error: ImageError) -> None:
        found[int(error.name)] = error

    sources = [ImageSource(str(number), picture) for number, picture in enumerate(pictures)]
    if sources:
        for prediction in jobs[0].detector.predict(sources, on_unreadable=unreadable):
            found[int(prediction.name)] = prediction
    return [found[number] for number in range(len(pictures))]
