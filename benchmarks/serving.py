"""Many requests to `softpatch serve` on this machine: errors, times, and whether its memory grows.

A small model of crops of bottles, so that what is measured is the service and not the network.
Every answer is compared with the model's own score of that picture.
"""

from __future__ import annotations

import argparse
import http.client
import io
import itertools
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import OtherWork
from benchmarks.processes import say

COMMAND = Path(sys.executable).parent / "softpatch"
CLIENTS = 16
PICTURES = 32  # different ones that are sent
TRAINED = 40
CROP = (450, 250, 578, 378)  # of a bottle: part of its rim
MEMORY = "process_resident_memory_bytes"
WARM_UP = 0.02  # share of the requests before memory is first measured


def main() -> None:
    from benchmarks.pictures import DATA

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "mvtec_bottle", help="bottle")
    parser.add_argument("--requests", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "part.softpatch"
        bodies, expected = prepare(arguments.data, model)
        command = [str(COMMAND), "serve", str(model), "--port", "0"]
        log = Path(scratch) / "log"
        with (
            log.open("wb") as output,
            subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True) as server,
        ):
            assert server.stderr is not None
            port = int(re.findall(r":(\d+)/", server.stderr.readline())[0])
            result = measure(port, arguments.requests, bodies, expected)
            server.send_signal(signal.SIGTERM)
            result["exit_code"] = server.wait()
        logged = sum(b'"event": "request"' in line for line in log.read_bytes().splitlines())
    result["requests_logged"] = logged
    print(json.dumps(result, indent=2))


def prepare(folder: Path, model: Path) -> tuple[list[bytes], list[float]]:
    """Write a model; requests, and the scores that their pictures have."""
    from PIL import Image

    from softpatch import SoftPatch
    from softpatch.datasets import read_category

    category = read_category(folder)

    def crop(path: Path) -> bytes:
        buffer = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").crop(CROP).save(buffer, format="PNG")
        return buffer.getvalue()

    train = [crop(sample.path) for sample in category.train[:TRAINED]]
    step = max(1, len(category.test) // PICTURES)
    test = [crop(sample.path) for sample in category.test[::step][:PICTURES]]
    detector = SoftPatch(resize=64, crop=64, coreset_ratio=0.05, max_false_alarms=0.1)
    detector.fit(train).save(model)
    head = (
        b'--x\r\nContent-Disposition: form-data; name="images"; filename="part.png"\r\n'
        b"Content-Type: image/png\r\n\r\n"
    )
    bodies = [head + picture + b"\r\n--x--\r\n" for picture in test]
    return bodies, [prediction.score for prediction in detector.predict(test)]


def measure(port: int, requests: int, bodies: list[bytes], expected: list[float]) -> dict[str, Any]:
    """Send all requests from ``CLIENTS`` threads."""
    counter = itertools.count()
    seconds: list[float] = []
    problems: Counter[str] = Counter()
    memory: list[float] = []
    others = OtherWork()
    before = metric(port, "process_cpu_seconds_total")
    started = time.perf_counter()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        while (number := next(counter)) < requests:
            which = number % len(bodies)
            began = time.perf_counter()
            try:
                score = ask(connection, bodies[which])
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                problems[f"{type(error).__name__}: {error}"] += 1
                connection.close()
                continue
            seconds.append(time.perf_counter() - began)
            if not np.isclose(score, expected[which], rtol=1e-3):
                problems["another picture's score"] += 1

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    look_at = iter(np.linspace(WARM_UP, 1, 50) * requests)
    following = next(look_at)
    while any(thread.is_alive() for thread in threads):
        if len(seconds) + problems.total() >= following:
            memory.append(metric(port, MEMORY) / 1e6)
            say(f"{len(seconds)} answers, {memory[-1]:.0f} MB")
            following = next(look_at, float("inf"))
        time.sleep(0.05)
    took = time.perf_counter() - started
    memory.append(metric(port, MEMORY) / 1e6)
    cores = (metric(port, "process_cpu_seconds_total") - before) / took
    busy = others.cores()
    return {
        "requests": requests,
        "clients": CLIENTS,
        "answers": len(seconds),
        "problems": dict(problems),
        "seconds": round(took, 1),
        "answers_per_second": round(len(seconds) / took, 1),
        "ms_p50": round(1000 * float(np.percentile(seconds, 50)), 1),
        "ms_p95": round(1000 * float(np.percentile(seconds, 95)), 1),
        "ms_max": round(1000 * max(seconds), 1),
        "memory_mb_start_middle_end": [
            round(memory[at]) for at in (0, len(memory) // 2, len(memory) - 1)
        ],
        "memory_mb_least_most": [round(min(memory)), round(max(memory))],
        "service_cores": round(cores, 2),
        "other_work_cores": None if busy is None else round(busy - cores, 2),
    }


def ask(connection: http.client.HTTPConnection, body: bytes) -> float:
    """The score that the service gives a picture."""
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    connection.request("POST", "/models/part/detect", body, kind)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise ValueError(f"{answer.status} {content[:200]!r}")
    [result] = json.loads(content)["Results"]
    return float(result["Score"])


def metric(port: int, name: str) -> float:
    """One of the service's metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    [value] = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(value)


if __name__ == "__main__":
    main()
