"""The proxies' settings that docs/serve.md shows, in front of the service."""

from __future__ import annotations

import getpass
import http.client
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serving.pictures import encoded
from tests.serving.process import serving

pytestmark = pytest.mark.long
PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
NAME = "inspect.example"
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'


def shown(start: str) -> str:
    """The block of settings that begins so."""
    blocks: list[str] = re.findall(r"```\w*\n(.*?)```", PAGE, re.S)
    return next(block for block in blocks if block.startswith(start))


def nginx(folder: Path, port: int, service: int) -> list[str]:
    """Over http, as the certificate is the user's own."""
    settings = shown("server {").replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        settings = f"{kind}_temp_path {folder}/{kind};\n{settings}"
    (folder / "nginx.conf").write_text(
        f"daemon off;\nuser {getpass.getuser()};\npid {folder}/pid;\nerror_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{to_service(settings, service)}\n}}\n"
    )
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, service: int) -> list[str]:
    settings = shown(NAME).replace(NAME, f"http://{NAME}:{port}", 1)
    (folder / "Caddyfile").write_text(f"{{\nadmin off\n}}\n{to_service(settings, service)}")
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def to_service(settings: str, service: int) -> str:
    assert settings.count("127.0.0.1:8000") == 1
    return settings.replace("127.0.0.1:8000", f"127.0.0.1:{service}")


@pytest.fixture(scope="module", params=[nginx, caddy], ids=lambda proxy: proxy.__name__)
def proxied(
    request: pytest.FixtureRequest, small_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a proxy in front of the service, started with the words that are shown."""
    if shutil.which(request.param.__name__) is None:
        pytest.skip(f"no {request.param.__name__} here")
    folder = tmp_path_factory.mktemp("proxy")
    [options] = re.findall(rf"softpatch serve part.softpatch (.*{NAME}.*)", PAGE)
    with (
        serving(Path(f"part={small_model}"), *options.split()) as (_, service),
        socket.socket() as free,
    ):
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        with subprocess.Popen(request.param(folder, port, service)) as process:
            try:
                wait_for(port)
                yield port
            finally:
                process.terminate()


def wait_for(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            continue


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request(method, path, body, {"Host": NAME, **FORM, **headers})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def detect(port: int, picture: bytes = encoded(), **headers: str) -> tuple[int, bytes]:
    return ask(port, "POST", "/models/part/detect", PART + picture + b"\r\n--x--\r\n", **headers)


def test_the_page_and_its_requests_come_through(proxied: int) -> None:
    status, page = ask(proxied, "GET", "/")
    assert status == 200
    assert b"page.js" in page
    for origin in (f"https://{NAME}", f"http://{NAME}"):
        status, content = detect(proxied, Origin=origin)
        assert status == 200
        assert len(json.loads(content)["Results"]) == 1


def test_other_names_and_origins_are_refused(proxied: int) -> None:
    assert detect(proxied, Origin="https://evil.example")[0] == 403
    status, content = ask(proxied, "GET", "/models", Host="evil.example")
    assert status == 421 or content == b""  # Caddy answers nothing to a name that it does not know


def test_large_requests_are_refused_as_too_large(proxied: int) -> None:
    for size in (*range(20_000_000, 20_900_000, 100_000), 25_000_000):  # 20m are 20,971,520
        assert detect(proxied, bytes(size))[0] == 413
    assert detect(proxied, bytes(19_000_000))[0] == 400  # no picture


def test_connections_that_rest_cost_no_request(proxied: int) -> None:
    """Around the times after which one of both closes them."""
    for seconds in (4.9, 5.0, 5.1, 9.9, 10.0, 10.1):
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda _: detect(proxied)[0], range(8))
        assert set(answers) == {200}
        time.sleep(seconds)
