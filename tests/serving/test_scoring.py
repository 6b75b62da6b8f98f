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
from softpatch.images.image_source import ImageSource
from softpatch.serving.scoring import BATCH, FullError, Picture, Results, ScoringQueue
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
    tasks = [
        asyncio.create_task(scoring.score(detector, [Picture(each, 1) for each in job]))
        for job in jobs
    ]
    await asyncio.sleep(0)
    return tasks


async def begin_one(scoring: ScoringQueue, detector: Any, *job: bytes) -> Results:
    return await scoring.score(detector, [Picture(each, 1) for each in job])


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
    # Batches are full, and a request of many pictures goes along in parts.
    assert one.calls == [1, BATCH, 4]
    assert other.calls == [1]
    assert batches == [1, BATCH, 1, 4]


class Ordered(Slow):
    """Remembers the order in which pictures are scored."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[bytes] = []
        self.let.release(1000)

    def predict(
        self, sources: Sequence[ImageSource], on_unreadable: Callable[[ImageError], None]
    ) -> Iterator[Prediction]:
        self.order += [source.content for source in sources]
        return super().predict(sources, on_unreadable)


def order(*requests: tuple[str, list[Picture]]) -> list[bytes]:
    """The order in which pictures of clients are scored that came while another was."""
    first, detector = Slow(), Ordered()

    async def work(scoring: ScoringQueue) -> Any:
        tasks = await begin(scoring, first, [b"0"])
        await asyncio.to_thread(first.begun.acquire)
        score: Any = scoring.score
        for client, pictures in requests:
            tasks.append(asyncio.create_task(score(detector, pictures, client)))
            await asyncio.sleep(0)
        first.let.release()
        await asyncio.gather(*tasks)

    run(work)
    return detector.order


LARGE = [Picture(b"64", 64_000_000)]


def test_nobody_waits_for_a_request_of_many_pictures() -> None:
    found = order(("a", [Picture(b"1", 100)] * 32), ("b", [Picture(b"2", 100)] * 2))
    assert found[:BATCH].count(b"2") == 2


def test_nobody_waits_for_large_pictures_not_even_of_the_same_client() -> None:
    for client in ("a", "b"):
        found = order(("a", LARGE * 20), (client, [Picture(b"2", 100)]))
        assert found[0] == b"2"


def test_nobody_waits_for_somebody_with_many_requests() -> None:
    found = order(*[("a", LARGE)] * 20, ("b", [Picture(b"2", 64_000_000)] * 2))
    assert found.index(b"2") <= 1
    assert len(found) - found[::-1].index(b"2") <= 5


def test_large_pictures_have_their_turn_while_small_ones_keep_coming() -> None:
    small = [Picture(b"2", 16_000_000)] * 8
    found = order(("a", LARGE), ("b", small), ("c", small))
    assert 4 <= found.index(b"64") <= 10


def test_pictures_decoded_together_are_few_if_large() -> None:
    first, slow = Slow(), Slow()

    async def work(scoring: ScoringQueue) -> Any:
        tasks = await begin(scoring, first, [b"0"])
        await asyncio.to_thread(first.begun.acquire)
        detector: Any = slow
        pictures = [Picture(b"1", 5_000_000)] * 4 + [Picture(b"1", 60_000_000)] * 2
        tasks.append(asyncio.create_task(scoring.score(detector, pictures)))
        await asyncio.sleep(0)
        for each in (first, slow):
            each.let.release(9)
        await asyncio.gather(*tasks)

    run(work)
    assert slow.calls == [3, 1, 1, 1]


def test_what_a_client_left_behind_is_passed_over_in_the_middle_of_it() -> None:
    slow = Slow()

    async def work(scoring: ScoringQueue) -> Any:
        [first] = await begin(scoring, slow, [b"1"] * 40)
        await asyncio.to_thread(slow.begun.acquire)
        first.cancel()
        [second] = await begin(scoring, slow, [b"2"])
        slow.let.release(9)
        return scores(await second)

    assert run(work)[0] == [2]
    assert slow.calls == [BATCH, 1]


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
            await begin_one(scoring, slow, b"4", b"5")
        jobs += await begin(scoring, slow, [b"6"])
        with pytest.raises(FullError):
            await begin_one(scoring, slow, b"7")
        slow.let.release(9)
        await asyncio.gather(*jobs)
        return scores(await begin_one(scoring, slow, b"8"))

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
