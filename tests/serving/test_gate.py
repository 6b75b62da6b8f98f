"""Which names the service answers to, and whose pages may use it."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from softpatch import UsageError
from softpatch.serving import ServerSettings
from softpatch.serving.origins import is_own_host, is_own_origin
from tests.serving.conftest import Make
from tests.serving.live import live
from tests.serving.pictures import encoded, sent

DETECT = "/models/part/detect"
PATHS = ("/", "/page.js", "/health", "/ready", "/metrics", "/openapi.json", "/models", "/nowhere")
CHANGING = (DETECT, "/models/part/reload", "/models/none/reload")


def test_a_page_by_dns_rebinding_gets_nothing(make: Make) -> None:
    """Its name points here, so that to a browser it is of the service's own origin."""
    with live(make()) as address:
        own = urlsplit(address).netloc
        for host in (
            "evil.example", "evil.example:8000", f"{own}.evil.example", "localhost.evil.example",
            f"{own}@evil.example", f"evil.example/{own}", "127.0.0.1.evil.example", "192.168.0.7",
            "[::2]", "", "localhost:80:80", "localhost, evil.example", "*", "[localhost]",
        ):  # fmt: skip
            for method, path in [("GET", path) for path in PATHS] + [("POST", CHANGING[0])]:
                connection = http.client.HTTPConnection(own, timeout=60)
                connection.request(method, path, headers={"Host": host, "Origin": f"http://{host}"})
                answer = connection.getresponse()
                content = json.loads(answer.read())
                assert answer.status == 421, (host, path)
                assert "--allow-host" in content["detail"]
                connection.close()
        for host in (own, "localhost", "LOCALHOST:1", "127.0.0.2:8000", "[::1]:8000"):
            connection = http.client.HTTPConnection(own, timeout=60)
            connection.request("GET", "/models", headers={"Host": host})
            assert connection.getresponse().status == 200
            connection.close()


def test_a_page_of_another_origin_can_do_nothing(make: Make) -> None:
    with TestClient(make(), base_url="http://localhost:8000") as client:
        for origin in (
            "https://evil.example", "http://localhost:3000", "http://127.0.0.1:8000", "null", "",
            "http://localhost", "http://localhost:8000.evil.example", "file://",
            "http://localhost:8000, https://evil.example", "chrome-extension://localhost:8000",
        ):  # fmt: skip
            headers = {"Origin": origin}
            for path in CHANGING:
                answer = client.post(path, files=sent(encoded()), headers=headers)
                assert answer.status_code == 403, origin
                assert "another origin" in answer.json()["detail"]
            asked = {**headers, "Access-Control-Request-Method": "POST"}
            answer = client.options(DETECT, headers=asked)
            assert answer.status_code == 403
            assert not [name for name in answer.headers if name.startswith("access-control")]
        twice = [(b"Origin", b"http://localhost:8000"), (b"Origin", b"https://evil.example")]
        assert client.post(CHANGING[1], headers=twice).status_code == 403
        own = {"Origin": "http://localhost:8000"}
        assert client.post(DETECT, files=sent(encoded()), headers=own).status_code == 200
        assert client.post(DETECT, files=sent(encoded())).status_code == 200  # no browser
        assert client.get("/").headers["cross-origin-resource-policy"] == "same-origin"


def test_what_was_allowed_may(make: Make) -> None:
    application = make(
        allowed_hosts=("inspect.example", "::2"), allowed_origins=("https://mes.example:8443",)
    )
    with TestClient(application, base_url="http://inspect.example") as client:
        # Behind a proxy that has taken https away.
        own = {"Origin": "https://inspect.example"}
        assert client.post(DETECT, files=sent(encoded()), headers=own).status_code == 200
        headers = {"Origin": "https://mes.example:8443"}
        answer = client.post(DETECT, files=sent(encoded()), headers=headers)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == headers["Origin"]
        asked = {
            **headers,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-api-key",
        }
        assert client.options(DETECT, headers=asked).status_code == 200
        other = {"Origin": "https://mes.example"}
        assert client.post(DETECT, files=sent(encoded()), headers=other).status_code == 403
        for host, status in (("[0::2]:80", 200), ("INSPECT.example:9", 200), ("example", 421)):
            assert client.get("/models", headers={"Host": host}).status_code == status


def test_refusals_are_counted_and_strict(make: Make) -> None:
    with TestClient(make()) as client:
        answer = client.get("/", headers={"Host": "evil.example"})
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert 'status="421"' in client.get("/metrics").text


def test_own_names() -> None:
    assert is_own_host("line-3:80", ["line-3"])
    assert is_own_host("10.0.0.1", ["10.0.0.1"])
    assert not is_own_host("10.0.0.1", [])
    assert is_own_origin("http://a:80", "a")
    assert is_own_origin("https://A", "a:443")
    assert is_own_origin("http://[::1]:8000", "[::1]:8000")
    assert not is_own_origin("https://a:80", "a")
    assert not is_own_origin("http://b", "a")


@pytest.mark.parametrize(
    "wrong",
    [
        {"allowed_hosts": ("",)}, {"allowed_hosts": ("a:80",)}, {"allowed_hosts": ("http://a",)},
        {"allowed_hosts": ("*",)}, {"allowed_origins": ("a",)}, {"allowed_origins": ("*",)},
        {"allowed_origins": ("https://a/",)}, {"allowed_origins": ("null",)},
        {"head_seconds": 0.0}, {"body_seconds": float("nan")}, {"idle_seconds": float("inf")},
        {"connections": 0}, {"connections_per_address": -1}, {"waiting_bytes": 0},
        {"max_pictures": 0}, {"api_key": " "}, {"api_key": "a "}, {"api_key": "a\n"},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_one_line(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        ServerSettings(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
