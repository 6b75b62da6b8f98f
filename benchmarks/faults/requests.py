"""Requests to ``softpatch serve`` in a process of its own, half of them good, the others hostile.

Good ones get their picture's own score. No answer is 5xx, but 503 where there is no room; each
comes, or the connection is closed, before long; the service is there afterwards, and ends in order.
"""

from __future__ import annotations

import http.client
import io
import json
import random
import signal
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.faults.commands import picture
from benchmarks.faults.mutations import mutated
from benchmarks.faults.tally import Tally, chosen
from benchmarks.processes import say
from softpatch import SoftPatch
from tests.png import png_that_claims
from tests.serving.process import serving

CLIENTS = 24
SECONDS = 60.0  # for an answer, or the connection's end
ALONE = 300  # good requests without others, whose time is measured
GOOD = 0.5  # share of the requests
LIMITS = ("--head-seconds", 1, "--body-seconds", 2, "--idle-seconds", 2)
HEAD = b"POST /models/part/detect HTTP/1.1\r\nHost: localhost\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
KINDS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
Hostile = Callable[[random.Random, bytes], bytes]


def campaign(count: int, seed: int, only: str) -> Tally:
    """Send ``count`` requests, the hostile ones of some kinds only."""
    kinds = chosen(HOSTILE, only)
    tally = Tally("requests", count)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "part.softpatch"
        pictures, scores = prepare(model)
        with serving(model, *LIMITS) as (process, port):
            threads = [
                threading.Thread(
                    target=client,
                    args=(port, range(at, count, CLIENTS), seed, kinds, pictures, scores, tally),
                )
                for at in range(CLIENTS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            number = min(count, ALONE)
            milliseconds = alone(port, number, pictures, scores, tally)
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=SECONDS)[1]
            if process.returncode or "Traceback" in said:
                tally.problems.append(f"the service ended with {process.returncode}: {said}")
    say(f"a good request without others takes {milliseconds:.1f} ms (median of {number})")
    return tally


def prepare(model: Path, learned: slice = slice(8)) -> tuple[list[bytes], list[float]]:
    """Write a small model of some pictures; all of them, and the scores that they have."""
    arrays = [picture(seed) for seed in range(24)]
    detector = SoftPatch(resize=64, crop=64, max_false_alarms=None)
    detector.fit(arrays[learned]).save(model)
    return [encoded(one) for one in arrays], [one.score for one in detector.predict(arrays)]


def encoded(pixels: npt.NDArray[np.uint8], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def client(
    port: int, numbers: range, seed: int, kinds: list[str], pictures: list[bytes],
    scores: list[float], tally: Tally,
) -> None:  # fmt: skip
    """One after the other; what each is depends on its number alone."""
    for number in numbers:
        draw = random.Random(f"{seed} {number}")
        which = draw.randrange(len(pictures))
        good = draw.random() < GOOD
        how = "good" if good else draw.choice(kinds)
        content = request(pictures[which]) if good else HOSTILE[how](draw, pictures[which])
        end, problem = ask(port, content, scores[which] if good else None)
        tally.add(f"{how}: {end}", problem and f"number {number} ({how}): {problem}")


def request(body: bytes, head: bytes = HEAD) -> bytes:
    """One picture, as a client sends it."""
    whole = PART + body + b"\r\n--x--\r\n"
    rest = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(whole)
    return head + FORM + rest + whole


def ask(port: int, content: bytes, score: float | None) -> tuple[str, str | None]:
    """How it was answered, and what is wrong with that."""
    received = b""
    try:
        with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
            if content.endswith(GOES):
                connection.sendall(content.removesuffix(GOES))
                return "went away", None
            with suppress(BrokenPipeError, ConnectionResetError):  # answered before it has all
                connection.sendall(content)
            with suppress(ConnectionResetError):
                while more := connection.recv(65536):
                    received += more
    except TimeoutError:
        return "no end", f"neither an answer nor an end within {SECONDS:.0f} s"
    if not received:
        return "closed", "no answer" if score is not None else None
    status = int(received.split()[1])
    if status >= 500 and status != 503:
        return str(status), received[-300:].decode(errors="replace")
    if score is None or status == 503:
        return str(status), None
    if status != 200:
        return str(status), received[-300:].decode(errors="replace")
    return "200", wrong_score(received.partition(b"\r\n\r\n")[2], score)


def wrong_score(body: bytes, score: float) -> str | None:
    [result] = json.loads(body)["Results"]
    fine = np.isclose(result["Score"], score, rtol=1e-3)
    return None if fine else f"{result['Score']} is not the picture's score, {score}"


def alone(port: int, count: int, pictures: list[bytes], scores: list[float], tally: Tally) -> float:
    """Milliseconds of a good request on a connection that stays open."""
    seconds = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for number in range(count):
        which = number % len(pictures)
        body = PART + pictures[which] + b"\r\n--x--\r\n"
        began = time.perf_counter()
        connection.request("POST", "/models/part/detect", body, kind)
        answer = connection.getresponse().read()
        seconds.append(time.perf_counter() - began)
        if problem := wrong_score(answer, scores[which]):
            tally.problems.append(f"afterwards: {problem}")
    connection.close()
    return 1000 * statistics.median(seconds)


# --- hostile ones --------------------------------------------------------------------------------

GOES = b"\0GOES"  # at the end of what is followed by nothing but the client's end


def damaged_picture(draw: random.Random, good: bytes) -> bytes:
    with Image.open(io.BytesIO(good)) as opened:
        content = encoded(np.asarray(opened), draw.choice(KINDS))
    return request(mutated(content, draw)[1])


def odd_picture(draw: random.Random, good: bytes) -> bytes:
    sizes = [(2**31 - 1, 2**31 - 1), (0, 5), (8_000, 8_001), (1, 60_000), (60_000, 1), (1, 1)]
    texts = [b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n", b"<svg/>", b"P6 8 8 255\n", b""]
    return request(draw.choice([*(png_that_claims(*size) for size in sizes), *texts, good[:-1]]))


def odd_form(draw: random.Random, good: bytes) -> bytes:
    pieces = [
        b"--x", b"--x--", b"--y", b"\r\n", b"\r\n\r\n", PART, good, b"\0" * 50,
        b'Content-Disposition: form-data; name="images"; filename="../../etc/passwd"',
        b"Content-Disposition: form-data; name*=utf-8''images; filename*=bogus''%ff",
        b"Content-Transfer-Encoding: base64", draw.randbytes(draw.randrange(60)),
    ]  # fmt: skip
    kinds = [
        b"multipart/form-data; boundary=x", b"multipart/form-data", b"image/png", b"",
        b"multipart/form-data; boundary=", b'multipart/form-data; boundary="x',
        b"multipart/form-data; boundary=x; charset=bogus", b"application/json",
    ]  # fmt: skip
    body = b"".join(draw.choices(pieces, k=draw.randrange(12)))
    kind = b"Content-Type: " + draw.choice(kinds) + b"\r\n"
    length = b"Content-Length: %d\r\n" % len(body)
    return HEAD + kind + b"Connection: close\r\n" + length + b"\r\n" + body


def odd_head(draw: random.Random, good: bytes) -> bytes:
    lines = [
        b"Host: evil.example", b"Origin: https://evil.example", b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked", b"Content-Length: -1", b"Content-Length: 9" * 40,
        b"Content-Length: 1\r\nContent-Length: 2", b"Expect: 100-continue", b"X: " + b"a" * 20_000,
        b"Upgrade: websocket\r\nConnection: Upgrade", b": nameless", b"X-API-Key: \xff", b"\0",
        b"X-Forwarded-For: 1.2.3.4", b"Range: bytes=0-", b"Content-Encoding: gzip",
    ]  # fmt: skip
    head = HEAD + b"\r\n".join(draw.sample(lines, draw.randint(1, 3))) + b"\r\n"
    return request(good, head)


def odd_line(draw: random.Random, _: bytes) -> bytes:
    methods = [
        b"GET", b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"HEAD", b"CONNECT",
        b"get", b"A" * 999,
    ]  # fmt: skip
    paths = [
        b"/", b"/health", b"/ready", b"/metrics", b"/models", b"/models/part/reload", b"//", b"*",
        b"/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/models/%00/detect", b"/\xff",
        b"/models/" + b"a" * 9000 + b"/detect", b"http://evil.example/", b"/page.js?%", b"/docs",
        b"/models/part/detect?x=" + draw.randbytes(9).hex().encode(),
    ]  # fmt: skip
    versions = [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b""]
    words = (draw.choice(methods), draw.choice(paths), draw.choice(versions))
    return b" ".join(words) + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def noise(draw: random.Random, _: bytes) -> bytes:
    return draw.randbytes(draw.randrange(1, 400)) + draw.choice((b"", b"\r\n\r\n"))


def chunks(draw: random.Random, _: bytes) -> bytes:
    sizes = [b"5\r\nab", b"zz\r\n", b"-1\r\n\r\n", b"fffffffffffffffff\r\n", b"1\r\na\r\n" * 50,
             b"0\r\n\r\n"]  # fmt: skip
    return HEAD + FORM + b"Transfer-Encoding: chunked\r\n\r\n" + draw.choice(sizes)


def too_short(draw: random.Random, good: bytes) -> bytes:
    content = request(good)
    return content[: draw.randrange(1, len(content))]


def goes_away(draw: random.Random, good: bytes) -> bytes:
    content = request(good)
    return content[: draw.randrange(1, len(content) + 1)] + GOES


HOSTILE: dict[str, Hostile] = {
    maker.__name__.replace("_", " "): maker
    for maker in (damaged_picture, odd_picture, odd_form, odd_head, odd_line,
                  noise, chunks, too_short, goes_away)
}  # fmt: skip
