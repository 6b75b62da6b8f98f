"""Models that change while they are served."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from softpatch import ModelFileError, UsageError, load
from softpatch.runtime.files import write_atomically
from softpatch.serving import Models
from tests.serving.conftest import Make
from tests.serving.pictures import encoded, sent

DETECT = "/models/part/detect"


def until(true: Callable[[], bool]) -> None:
    """Wait for something that another thread is about to do."""
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def with_threshold(model: Path, value: float) -> bytes:
    detector = load(model)
    detector.threshold_ = value
    path = model.with_name("other")
    detector.save(path)
    return path.read_bytes()


def test_swaps_and_broken_files_fail_no_request(make: Make, model: Path) -> None:
    contents = {value: with_threshold(model, value) for value in (130.0, 140.0, 150.0)}
    answers: list[tuple[int, float]] = []
    ended = threading.Event()

    with TestClient(make(look_seconds=0.01)) as client:

        def ask() -> None:
            while not ended.is_set():
                answer = client.post(DETECT, files=sent(encoded()))
                answers.append((answer.status_code, answer.json()["Results"][0]["Threshold"]))

        def served() -> tuple[float, bool]:
            [record] = client.get("/models").json()
            return record["Threshold"], record["Problem"] is not None

        asking = [threading.Thread(target=ask) for _ in range(6)]
        for thread in asking:
            thread.start()
        try:
            until(lambda: bool(answers))
            for value, content in contents.items():
                write_atomically(model, content)  # seen by itself
                until(lambda value=value: served() == (value, False))  # type: ignore[misc]
                until(lambda value=value: answers[-1][1] == value)  # type: ignore[misc]
                write_atomically(model, content[:-100])
                until(lambda value=value: served() == (value, True))  # type: ignore[misc]
            last = client.post("/models/part/reload")
            assert last.status_code == 409
            assert "cut, or not a softpatch model" in last.json()["detail"]
            write_atomically(model, contents[130.0])
            assert client.post("/models/part/reload").json()["Threshold"] == 130.0
            count = len(answers)
            until(lambda: len(answers) > count + 12)
        finally:
            ended.set()
            for thread in asking:
                thread.join()
        metrics = client.get("/metrics").text
    assert {status for status, _ in answers} == {200}
    assert {value for _, value in answers} == {120.0, *contents}
    assert answers[-1][1] == 130.0
    assert 'softpatch_model_loads_total{model="part",result="failed"} 4.0' in metrics


def test_a_file_counts_once_two_looks_found_it_the_same(model: Path, one_backbone: None) -> None:
    models = Models({"part": model}, load)
    assert models.changed() == models.changed() == []
    content = with_threshold(model, 130.0)
    for part in (content[:1000], content[:2000], content):  # as a slow copy writes it
        model.write_bytes(part)
        os.utime(model, ns=(len(part), len(part)))
        assert models.changed() == []
    assert models.changed() == ["part"]
    assert asyncio.run(models.reload("part")).detector.threshold_ == 130.0
    assert models.changed() == models.changed() == []
    model.unlink()
    assert models.changed() == []
    assert models.changed() == ["part"]
    with pytest.raises(ModelFileError, match="no such model file"):
        asyncio.run(models.reload("part"))
    assert models.changed() == []  # not again and again
    [served] = models
    assert served.problem is not None
    assert served.detector.threshold_ == 130.0


def test_a_model_that_cannot_score_takes_no_place(
    model: Path, one_backbone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = Models({"part": model}, load)
    before = models.get("part")
    assert before is not None

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no score")

    monkeypatch.setattr("softpatch.SoftPatch.predict", fail)
    with pytest.raises(ModelFileError, match="cannot score a picture"):
        asyncio.run(models.reload("part"))
    after = models.get("part")
    assert after is not None
    assert after.detector is before.detector


def test_names_fit_into_addresses(model: Path) -> None:
    for name in ("", "a/b", ".hidden", "ä", "a b"):
        with pytest.raises(UsageError, match="is no name for a model"):
            Models({name: model}, load)
    with pytest.raises(UsageError, match="no model to serve"):
        Models({}, load)
