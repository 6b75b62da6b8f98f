"""The command: how it stops on a signal, and how it fails."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from softpatch.serving.origins import is_loopback
from tests.cli.test_cli import COMMAND, Run, run
from tests.serving.pictures import encoded
from tests.serving.process import serving

__all__ = ["run"]  # the fixture


def read_until(connection: socket.socket, end: bytes) -> bytes:
    content = b""
    while end not in content:
        received = connection.recv(65536)
        assert received, content
        content += received
    return content


def test_requests_that_have_begun_are_answered_after_sigterm(small_model: Path) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="images"; filename="secret.png"\r\n\r\n'
        + encoded()
        + b"\r\n--x--\r\n"
    )
    head = (
        "POST /models/small/detect HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with subprocess.Popen(
        [COMMAND, "serve", small_model, "--port", "0", "--device", "cpu"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.fullmatch(r"serving at http://127.0.0.1:(\d+)/; Ctrl-C ends it\n", said)
        assert found, said + process.stderr.read()
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=300) as connection:
            connection.sendall(head)
            read_until(connection, b"100 Continue\r\n\r\n")  # it waits for the body
            process.send_signal(signal.SIGTERM)
            connection.sendall(body)
            answer = read_until(connection, b"]}")
        assert process.wait(timeout=300) == 0
        assert process.stderr.read() == ""
        lines = [json.loads(line) for line in process.stdout]
    status, _, content = answer.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 200")
    assert json.loads(content)["Results"][0]["Name"] == "secret.png"
    assert [line["event"] for line in lines] == ["started", "request", "stopped"]
    assert lines[1]["status"] == 200
    assert "secret" not in json.dumps(lines)


def test_failures_are_one_line(run: Run, small_model: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.softpatch"
    failed = run("serve", missing)
    assert (failed.code, failed.error) == (1, f"{missing}: no such model file")
    for wrong, words in (
        ([small_model, small_model], "two models are called 'small'; give one as NAME=FILE"),
        ([f"a b={small_model}"], "'a b' is no name for a model"),
        ([small_model, "--api-key", ""], "--api-key is empty"),
        ([small_model, "--api-key", " "], "the API key must be printable ASCII"),
        ([small_model, "--idle-seconds", "inf"], "--idle-seconds must lie in [0.1, 3600], got inf"),
        ([small_model, "--body-seconds", "0"], "--body-seconds must lie in [0.1, 3600], got 0"),
        ([small_model, "--allow-host", "http://a"], "'http://a' is no host"),
        ([small_model, "--allow-origin", "a"], "'a' is no origin"),
        ([small_model, "--queue", 3], "a queue of 3 never has room for a request of 32"),
        ([small_model, "--host", "256.0.0.1", "--api-key", "k"], "cannot listen at 256.0.0.1"),
    ):
        failed = run("serve", *wrong)
        assert failed.code == 2
        assert failed.error.startswith(words)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = run("serve", f"part={small_model}", "--port", port)
    words = f"cannot listen at 127.0.0.1, port {port}: Address already in use"
    assert (failed.code, failed.error) == (2, words)


def test_an_empty_key_is_an_error_and_not_no_key(
    run: Run, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("", " ", "\t"):
        monkeypatch.setenv("SOFTPATCH_API_KEY", key)
        failed = run("serve", small_model)
        assert failed.code == 2
        assert failed.error.startswith("the API key must be printable ASCII")
        assert "\n" not in failed.error


def test_the_key_of_the_environment_is_asked_for(small_model: Path) -> None:
    with serving(small_model, SOFTPATCH_API_KEY="right") as (_, port):
        for key, status in (("wrong", 401), ("", 401), ("right", 200)):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/models", headers={"X-API-Key": key})
            assert connection.getresponse().status == status
            connection.close()


def test_limits_of_the_command_are_those_of_the_service(small_model: Path) -> None:
    options = ("--idle-seconds", 0.2, "--allow-host", "inspect.example", "--max-bytes", 100)
    with serving(small_model, *options) as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/models/small/detect", b"a" * 101, {
            "Host": "inspect.example", "Content-Type": "multipart/form-data; boundary=x",
        })  # fmt: skip
        assert connection.getresponse().status == 413
        connection.close()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as silent:
            assert silent.recv(1) == b""


def test_without_the_extra(run: Run, small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softpatch.cli.serve.find_spec", lambda name: name != "fastapi" or None)
    failed = run("serve", small_model)
    assert failed.code == 1
    assert failed.error == "softpatch serve needs an extra: pip install 'softpatch[serve]'"


def test_loopback() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert is_loopback(host)
    for host in ("0.0.0.0", "::", "192.168.0.7", "camera.local"):
        assert not is_loopback(host)
