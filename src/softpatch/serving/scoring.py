"""The one thread that scores: clients in turns, pictures waiting for the same model together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from softpatch.detectors import Detector
from softpatch.errors import ImageError
from softpatch.images.image_source import ImageSource
from softpatch.runtime.prediction import Prediction

BATCH = 16  # pictures of several requests in one batch
BATCH_PIXELS = 16_000_000  # and their pixels, unless one alone has more
Results = list[Prediction | ImageError]


class FullError(Exception):
    """There is no room for these pictures."""


@dataclass(frozen=True)
class Picture:
    """A picture that has not been decoded."""

    content: Any  # as ``ImageSource`` has it
    pixels: int


@dataclass(eq=False)
class _Job:
    """The pictures of one request."""

    detector: Detector
    pictures: Sequence[Picture]
    client: str
    due: int  # when the next picture has its turn
    taken: int = 0  # pictures that have had it
    found: Results = field(default_factory=list)
    results: Future[Results] = field(default_factory=Future)


class ScoringQueue:
    """A queue of pictures scored by a thread, so that scoring never blocks the service.

    Turns are counted in pixels. A picture is due after as many pixels as it has itself, behind
    the one before it in its request, and after that many more for each other request of its client:
    so nobody waits for a request of many or large pictures, nor for somebody with many requests,
    and none of these waits for ever.
    """

    def __init__(self, room: int, on_batch: Callable[[int], object]) -> None:
        """Room for so many pictures at a time; ``on_batch`` gets the number in each batch."""
        self.room = room
        self.waiting = 0
        self._on_batch = on_batch
        self._jobs: list[_Job] = []
        self._now = 0  # when the latest picture was due
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

    async def score(
        self, detector: Detector, pictures: Sequence[Picture], client: str = ""
    ) -> Results:
        """Score encoded pictures; the result of one that cannot be decoded is an ``ImageError``.

        Cancelled, those that have not had their turn are passed over.

        Raises:
            FullError: too many pictures are waiting.
        """
        job = _Job(detector, pictures, client, due=0)
        with self._changed:
            if self.waiting + len(pictures) > self.room:
                raise FullError
            self.waiting += len(pictures)
            self._jobs.append(job)
            self._schedule(job)
            self._changed.notify()
        return await asyncio.wrap_future(job.results)

    def _schedule(self, job: _Job) -> None:
        """Say when the job's next picture is due."""
        requests = sum(other.client == job.client for other in self._jobs)
        job.due = max(job.due, self._now) + requests * job.pictures[job.taken].pixels

    def _work(self) -> None:
        while batch := self._next():
            self._on_batch(sum(len(pictures) for pictures in batch.values()))
            answers = _scored(batch)
            with self._changed:  # before answering, as a client may then send as many again
                for job, answer in answers.items():
                    self.waiting -= len(batch[job])
                    if isinstance(answer, Exception):
                        self._forget(job)
                    else:
                        job.found += answer
            for job, answer in answers.items():
                ended = isinstance(answer, Exception) or len(job.found) == len(job.pictures)
                if not ended or not job.results.set_running_or_notify_cancel():
                    continue
                if isinstance(answer, Exception):
                    job.results.set_exception(answer)
                else:
                    job.results.set_result(job.found)

    def _next(self) -> dict[_Job, list[Picture]]:
        """The pictures that are due first and are for one model; none after ``close``."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                for job in [job for job in self._jobs if job.results.cancelled()]:
                    self._forget(job)
                if self._jobs or self._closed:
                    return self._due()

    def _due(self) -> dict[_Job, list[Picture]]:
        batch: dict[_Job, list[Picture]] = {}
        room, pixels = BATCH, BATCH_PIXELS
        candidates = self._jobs
        while candidates and room:
            job = min(candidates, key=lambda job: job.due)
            picture = job.pictures[job.taken]
            if batch and picture.pixels > pixels:
                break
            batch.setdefault(job, []).append(picture)
            room, pixels = room - 1, pixels - picture.pixels
            job.taken += 1
            self._now = max(self._now, job.due)
            if job.taken == len(job.pictures):
                self._jobs.remove(job)
            else:
                self._schedule(job)
            candidates = [other for other in self._jobs if other.detector is job.detector]
        return batch

    def _forget(self, job: _Job) -> None:
        """Give up the pictures of a job that have not had their turn."""
        if job in self._jobs:
            self._jobs.remove(job)
            self.waiting -= len(job.pictures) - job.taken


def _scored(batch: dict[_Job, list[Picture]]) -> dict[_Job, Results | Exception]:
    """Score pictures for one model together, or job by job if one of them makes it fail."""
    try:
        results = _score([each for pictures in batch.values() for each in pictures], batch)
    except Exception as error:
        if len(batch) == 1:
            return dict.fromkeys(batch, error)
        return {job: _scored({job: pictures})[job] for job, pictures in batch.items()}
    return {job: [results.pop(0) for _ in pictures] for job, pictures in batch.items()}


def _score(pictures: Sequence[Picture], jobs: dict[_Job, list[Picture]]) -> Results:
    found: dict[int, Prediction | ImageError] = {}

    def unreadable(error: ImageError) -> None:
        found[int(error.name)] = error

    detector = next(iter(jobs)).detector
    sources = [ImageSource(str(number), each.content) for number, each in enumerate(pictures)]
    for prediction in detector.predict(sources, on_unreadable=unreadable):
        found[int(prediction.name)] = prediction
    return [found[number] for number in range(len(pictures))]
