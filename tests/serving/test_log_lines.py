"""A log that takes no lines makes no request wait or fail."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from softpatch.compute.log_lines import LogLines
from softpatch.serving.log_lines import JsonLines
from tests.serving.process import serving

LINES = 1200  # of requests: more than a pipe holds


def ask(port: int, times: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(times):
        connection.request("GET", "/health")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')
    connection.close()


def end(process: subprocess.Popen[str]) -> str:
    """What the process has said on standard error after it was asked to end well."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    return process.stderr.read()


def test_a_pipe_that_nobody_reads_stops_no_request(small_model: Path) -> None:
    with serving(small_model, stdout=subprocess.PIPE) as (process, port):
        ask(port, LINES)
        assert end(process) == ""


def test_a_log_and_errors_in_one_full_pipe_stop_no_request(small_model: Path) -> None:
    # As with `softpatch serve ... 2>&1 | something that hangs`.
    reading, writing = os.pipe()
    with serving(small_model, stdout=writing) as (process, port):
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while os.write(writing, bytes(4096)):
                pass
        os.set_blocking(writing, True)
        ask(port, 50)
        end(process)
    os.close(reading)
    os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_fails_no_request_and_is_noted_once(small_model: Path) -> None:
    with Path("/dev/full").open("wb") as full, serving(small_model, stdout=full) as found:
        process, port = found
        ask(port, 50)
        assert end(process) == "log lines are lost: standard output does not take them\n"


def test_a_reader_that_has_gone_fails_no_request(small_model: Path) -> None:
    reading, writing = os.pipe()
    with serving(small_model, stdout=writing) as (process, port):
        os.close(reading)
        os.close(writing)
        ask(port, 50)
        assert end(process).count("\n") == 1


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for descriptor in ends:
        os.close(descriptor)


def record(event: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": event, "levelname": "INFO"})


def test_how_many_lines_were_lost_is_in_the_log_once_it_is_read(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = LogLines(writing, room=5)
    lines.setFormatter(JsonLines())
    long = "a" * 10_000
    for number in range(100):  # a pipe holds six of these, or few more
        lines.emit(record(f"{number} {long}"))
    found: list[dict[str, object]] = []

    def read() -> None:
        with os.fdopen(os.dup(reading), encoding="utf-8") as file:
            for line in file:
                found.append(json.loads(line))
                if found[-1]["event"] == "last":
                    return

    thread = threading.Thread(target=read)
    thread.start()
    while lines._lines.qsize():
        pass
    lines.emit(record("last"))
    thread.join(60)
    lines.close()
    lost = sum(int(str(line["lines"])) for line in found if line["event"] == "log lines lost")
    assert lost + len([line for line in found if line["event"] != "log lines lost"]) == 101
    assert lost > 0
    assert found[-1]["event"] == "last"


def test_lines_are_whole_after_one_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        lines = LogLines(file.fileno())
        lines.setFormatter(JsonLines())
        lines.emit(record("first"))
        lines.close()
        cut = LogLines(file.fileno())
        cut.setFormatter(JsonLines())
        cut._whole = False  # as after a disk that was full in the middle of a line
        cut.emit(record("second"))
        cut.close()
    assert [json.loads(line)["event"] for line in path.read_text().split("\n") if line] == [
        "first", "second",
    ]  # fmt: skip
