"""The queue: which pictures are batched, and which find no room."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from softpatch import ImageError, Prediction
from softpatch.images.sources import ImageSource
from softpatch.serving.scoring import BATCH, FullError, Results, ScoringQueue
from tests.serving.conftest import Make
from tests.serving.pictures import encoded, sent


class Slow:
    """Stands in for a detector: waits to be let on, and scores a picture by its bytes."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)

    def predict(
        self, sources: Sequence[ImageSource], on_unreadable: Callable[[ImageError], None]
    ) -> Iterator[Prediction]:
        self.calls.append(len(sources))
        self.begun.release()
        assert self.let.acquire(timeout=300)
        for source in sources:
            if source.content == b"bad":
                on_unreadable(ImageError(source.name, "bad"))
            elif source.content == b"worse":
                raise RuntimeError("worse")
            else:
                score = float(source.content)
                yield Prediction(source.name, score, np.zeros((1, 1), np.float32), (1, 1), (0,) * 4)


def scores(results: Results) -> list[Any]:
    return [each.score if isinstance(each, Prediction) else each.reason for each in results]


def run(work: Callable[[ScoringQueue], Any], room: int = 64) -> tuple[Any, list[int]]:
    batches: list[int] = []
    scoring = ScoringQueue(room, batches.append)
    scoring.start()
    try:
        return asyncio.run(work(scoring)), batches
    finally:
        scoring.close()
        assert not scoring.alive
        assert scoring.waiting == 0


async def begin(
    scoring: ScoringQueue, detector: Any, *jobs: list[bytes]
) -> list[asyncio.Task[Results]]:
    """Queue jobs, in order."""
    tasks = [asyncio.create_task(scoring.score(detector, job)) for job in jobs]
    await asyncio.sleep(0)
    return tasks


def test_what_waits_for_one_model_is_scored_together() -> None:
    one, other = Slow(), Slow()

    async def work(scoring: ScoringQueue) -> Any:
        first = await begin(scoring, one, [b"1"])
        await asyncio.to_thread(one.begun.acquire)  # the rest waits behind it
        rest = await begin(scoring, one, [b"2", b"bad"])
        rest += await begin(scoring, other, [b"3"])
        rest += await begin(scoring, one, [b"4"], [b"5"] * BATCH, [b"6"])
        for detector in (one, other):
            detector.let.release(9)
        return [scores(each) for each in await asyncio.gather(*first, *rest)]

    results, batches = run(work)
    assert results == [[1], [2, "bad"], [3], [4], [5] * BATCH, [6]]
    # A job that does not fit any more waits; one behind it that does fit goes along.
    assert one.calls == [1, 4, BATCH]
    assert other.calls == [1]
    assert batches == [1, 4, 1, BATCH]


def test_a_picture_that_fails_the_model_fails_alone() -> None:
    slow = Slow()
    slow.let.release(9)

    async def work(scoring: ScoringQueue) -> Any:
        jobs = await begin(scoring, slow, [b"1"], [b"2", b"worse"], [b"3"])
        return await asyncio.gather(*jobs, return_exceptions=True)

    (first, second, third), _ = run(work)
    assert (scores(first), scores(third)) == ([1], [3])
    assert isinstance(second, RuntimeError)


def test_no_more_wait_than_there_is_room_for() -> None:
    slow = Slow()

    async def work(scoring: ScoringQueue) -> Any:
        jobs = await begin(scoring, slow, [b"1", b"2"], [b"3"])
        with pytest.raises(FullError):
            await scoring.score(slow, [b"4", b"5"])  # type: ignore[arg-type]
        jobs += await begin(scoring, slow, [b"6"])
        with pytest.raises(FullError):
            await scoring.score(slow, [b"7"])  # type: ignore[arg-type]
        slow.let.release(9)
        await asyncio.gather(*jobs)
        return scores(await scoring.score(slow, [b"8"]))  # type: ignore[arg-type]

    assert run(work, room=4)[0] == [8]


def test_closing_answers_what_waits_and_what_was_given_up_is_passed_over() -> None:
    slow = Slow()

    async def work(scoring: ScoringQueue) -> Any:
        [first] = await begin(scoring, slow, [b"1"])
        await asyncio.to_thread(slow.begun.acquire)
        second, third = await begin(scoring, slow, [b"2"], [b"3"])
        second.cancel()
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(scoring.close))
        slow.let.release(9)
        await closing
        return scores(await first) + scores(await third)

    assert run(work)[0] == [1, 3]
    assert slow.calls == [1, 1]


def test_a_full_queue_is_503_and_says_when_to_come_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    with TestClient(make(queue=2, max_pictures=2)) as client:
        monkeypatch.setattr("softpatch.SoftPatch.predict", lambda _, *a, **b: slow.predict(*a, **b))
        waiting = threading.Thread(
            target=client.post, args=["/models/part/detect"], kwargs={"files": sent(encoded())}
        )
        waiting.start()
        assert slow.begun.acquire(timeout=300)
        busy = client.post("/models/part/detect", files=sent(encoded(), encoded()))
        assert busy.status_code == 503
        assert busy.headers["retry-after"] == "1"
        assert client.get("/ready").status_code == 200  # there is room for one
        second = threading.Thread(
            target=client.post, args=["/models/part/detect"], kwargs={"files": sent(encoded())}
        )
        second.start()
        while client.get("/ready").status_code == 200:
            pass
        assert client.post("/models/part/detect", files=sent(encoded())).status_code == 503
        assert client.get("/health").status_code == 200
        slow.let.release(9)
        waiting.join()
        second.join()
        assert client.get("/ready").status_code == 200
