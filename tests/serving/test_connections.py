"""Clients that say nothing, drip or talk nonsense are sent away, and others are served."""

from __future__ import annotations

import gc
import json
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest

from softpatch.serving import connections
from tests.serving.conftest import Make
from tests.serving.live import live
from tests.serving.pictures import encoded

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPLOAD = (
    b"POST /models/part/detect HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n"
)
RELOAD = b"POST /models/part/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
    + encoded()
    + b"\r\n--x--\r\n"
)


@contextmanager
def client(address: str, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    port = urlsplit(address).port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), 60, (source, 0)) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """What comes until the service closes the connection."""
    content = b""
    try:
        while received := connection.recv(65536):
            content += received
    except ConnectionResetError:
        pass
    return content


def answer(connection: socket.socket) -> tuple[int, dict[str, str]]:
    """One answer of a connection that stays open."""
    content = b""
    while b"\r\n\r\n" not in content:
        received = connection.recv(65536)
        assert received, content
        content += received
    head, _, body = content.partition(b"\r\n\r\n")
    [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    while len(body) < int(length.split(b":")[1]):
        body += connection.recv(65536)
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "said",
    [
        b"", b"\r\n", HEAD[:5], HEAD[:-2], HEAD, HEAD + HEAD[:9], RELOAD, UPLOAD + b"\r\n",
        UPLOAD + b"Content-Length: 9999\r\n\r\n" + FORM[:50],
        UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)  # fmt: skip
def test_no_client_stays_for_ever(make: Make, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LINGER", 0.2)
    application = make(head_seconds=0.3, body_seconds=0.3, idle_seconds=0.3)
    with live(application) as address, client(address) as connection:
        connection.sendall(said)
        found = everything(connection)
        assert found.count(b"HTTP/1.1") <= 2
        assert b" 5" not in found[:12]


def test_a_client_that_drips_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LINGER", 0.2)
    application = make(head_seconds=0.3, body_seconds=0.3)
    with live(application) as address:
        for begin in (
            b"GET / HTTP/1.1\r\nX: ",
            UPLOAD + b"Content-Length: 9999\r\n\r\n" + FORM[:99],
        ):
            with client(address) as connection:
                connection.sendall(begin)
                ended = threading.Event()

                def drip(to: socket.socket = connection, end: threading.Event = ended) -> None:
                    while not end.wait(0.05):
                        try:
                            to.sendall(b"a")
                        except OSError:
                            return

                dripping = threading.Thread(target=drip)
                dripping.start()
                found = everything(connection)
                ended.set()
                dripping.join()
                assert found.startswith(b"HTTP/1.1 408 ")
                assert b"took longer than 0.3 seconds" in found


def test_a_client_that_does_not_take_its_answer_is_sent_away(make: Make) -> None:
    application = make(body_seconds=0.3, head_seconds=3600, idle_seconds=3600)
    with live(application) as address, client(address) as connection:
        connection.sendall(HEAD)
        assert answer(connection)[0] == 200
        connection.settimeout(0.05)
        pages = memoryview(HEAD.replace(b"/health", b"/page.js") * 100_000)
        # A client whose buffers are full may not hear of the end, so the service is asked.
        while _connections():
            with suppress(TimeoutError, ConnectionError):
                pages = pages[connection.send(pages) :]


@pytest.mark.parametrize("said", [b"", HEAD[:9], HEAD])
def test_silent_clients_keep_nobody_out(
    make: Make, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "GRACE", 0.0)
    application = make(connections=8, connections_per_address=4)
    with live(application) as address, ExitStack() as open_ones:
        for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            for _ in range(20):
                silent = open_ones.enter_context(client(address, source))
                silent.sendall(said)
        for source in ("127.0.0.2", "127.0.0.1"):
            with client(address, source) as connection:
                connection.sendall(HEAD)
                assert answer(connection) == (200, {"status": "ok"})


def test_a_full_service_is_503_and_one_address_cannot_fill_it(make: Make) -> None:
    application = make(connections=8, connections_per_address=4)
    with live(application) as address, ExitStack() as open_ones:
        for _ in range(4):
            slow = open_ones.enter_context(client(address, "127.0.0.2"))
            slow.sendall(UPLOAD + b"Content-Length: 9999\r\nExpect: 100-continue\r\n\r\n")
            assert slow.recv(65536).startswith(b"HTTP/1.1 100 ")
        with client(address, "127.0.0.2") as connection:
            connection.sendall(HEAD)
            assert answer(connection) == (503, {"detail": "too many connections"})
        with client(address, "127.0.0.1") as connection:
            connection.sendall(HEAD)
            assert answer(connection)[0] == 200
        for _ in range(4):
            slow = open_ones.enter_context(client(address, "127.0.0.3"))
            slow.sendall(UPLOAD + b"Content-Length: 9999\r\nExpect: 100-continue\r\n\r\n")
            assert slow.recv(65536).startswith(b"HTTP/1.1 100 ")
        with client(address, "127.0.0.1") as connection:
            connection.sendall(UPLOAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM)
            assert answer(connection)[0] == 503
            open_ones.close()
            status = 503
            while status == 503:  # on the same connection, once there is room
                connection.sendall(HEAD)
                status, _ = answer(connection)
            assert status == 200


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS
        (b"PRI * HTTP/2.0\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.0\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", 421),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10**6 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 10**6 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 10**5 + b"\r\n", 431),
        (UPLOAD + b"Content-Length: x\r\n\r\n", 400),
        (UPLOAD + b"Content-Length: -1\r\n\r\n", 400),
        (UPLOAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (UPLOAD + b"Content-Length: 99999999999999999999\r\n\r\n", 413),
        (UPLOAD + b"Content-Length: 999999999999\r\n\r\n", 413),
        (UPLOAD + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (UPLOAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n", 400),
        (UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"DELETE /models HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /%ff%00/%2e%2e HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405),
    ],
)  # fmt: skip
def test_nonsense_is_told_in_json(make: Make, said: bytes, status: int) -> None:
    with live(make()) as address, client(address) as connection:
        sending = threading.Thread(target=_send, args=(connection, said))
        sending.start()
        found, content = answer(connection)
        sending.join()
        assert (found, set(content)) == (status, {"detail"})


def _send(connection: socket.socket, content: bytes) -> None:
    with suppress(OSError):  # it has been answered and closed
        connection.sendall(content)


def test_pictures_in_chunks_of_any_size(make: Make) -> None:
    with live(make()) as address:
        for size in (1, 7, 4096):
            parts = [FORM[at : at + size] for at in range(0, len(FORM), size)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
            with client(address) as connection:
                head = UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n"
                connection.sendall(head + body + b"0\r\n\r\n")
                assert answer(connection)[0] == 200


def test_a_body_in_very_many_tiny_chunks_is_refused(make: Make) -> None:
    with live(make()) as address, client(address) as connection:
        said = UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 30_000
        sending = threading.Thread(target=_send, args=(connection, said))
        sending.start()
        assert answer(connection)[0] == 400
        sending.join()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (UPLOAD, 413),
        (UPLOAD.replace(b"HTTP/1.1", b"HTTP/1.0"), 413),
        (UPLOAD.replace(b"multipart", b"image"), 400),
        (UPLOAD.replace(b"/part/", b"/none/"), 404),
        (UPLOAD.replace(b"/detect", b""), 404),
        (UPLOAD.replace(b"localhost", b"evil.example"), 421),
    ],
    ids=["size", "version", "kind", "model", "path", "host"],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "in chunks"])
@pytest.mark.parametrize("kept", [False, True], ids=["which then ends", "which is kept"])
def test_a_refusal_reaches_a_client_that_is_still_sending(
    make: Make, head: bytes, status: int, chunked: bool, kept: bool
) -> None:
    """It may first send all of it, as proxies do: nginx makes a 502 of a connection that ends."""
    parts = [FORM[:99], *80 * [b"a" * 100_000]]
    how = b"Content-Length: %d\r\n" % sum(map(len, parts))
    if chunked:
        how = b"Transfer-Encoding: chunked\r\n"
        parts = [*(b"%x\r\n%b\r\n" % (len(part), part) for part in parts), b"0\r\n\r\n"]
    end = b"\r\n" if kept else b"Connection: close\r\n\r\n"
    with live(make(max_bytes=150_000)) as address, client(address) as connection:
        for part in (head + how + end, *parts):
            connection.sendall(part)
        assert answer(connection)[0] == status


def test_uploads_that_wait_are_bounded_together(make: Make) -> None:
    application = make(max_bytes=20_000, waiting_bytes=20_000)
    upload = UPLOAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM
    begun = UPLOAD + b"Content-Length: 19999\r\n\r\n" + FORM[:99] + b"a" * 19_890
    with live(application) as address, client(address) as connection:
        connection.sendall(upload)
        assert answer(connection)[0] == 200
        with client(address) as slow:
            slow.sendall(begun)
            while application.state.service.arriving._bytes < 19_000:
                pass
            connection.sendall(upload)
            status, _ = answer(connection)
            assert status == 503
        while status == 503:  # the other has left
            connection.sendall(upload)
            status, _ = answer(connection)
        assert status == 200


def test_no_place_for_temporary_files_is_503(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    form = FORM[:99] + bytes(2_000_000)
    with live(make()) as address, client(address) as connection:
        connection.sendall(UPLOAD + b"Content-Length: %d\r\n\r\n" % len(form) + form)
        status, content = answer(connection)
        assert (status, "No such file" in content["detail"]) == (503, True)


def test_requests_sent_ahead_are_answered_in_order(make: Make) -> None:
    with live(make()) as address, client(address) as connection:
        upload = UPLOAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM
        connection.sendall(
            HEAD + upload + HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        found = everything(connection)
    assert found.count(b"HTTP/1.1 200") == 3
    assert found.index(b"Results") < found.rindex(b'{"status":"ok"}')


def test_small_answers_are_sent_at_once(make: Make) -> None:
    """The second small write of an answer waits for nothing."""
    with live(make()) as address, client(address) as connection:
        connection.sendall(HEAD)
        assert answer(connection)[0] == 200
        [accepted] = [
            each for each in _connections() if each.getpeername() == connection.getsockname()
        ]
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def _connections() -> list[socket.socket]:
    """The service's, in this process."""
    return [
        each.transport.get_extra_info("socket")
        for each in gc.get_objects()
        if type(each) is connections.Connection and not each.transport.is_closing()
    ]
