"""Whatever a client sends, the answer is a verdict or a 4xx, and the service survives."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.png import png_that_claims
from tests.serving.pictures import GOOD, encoded, sent

DETECT = "/models/part/detect"
# The service is the same for all examples.
FUZZ: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}
WHOLE = [
    encoded(),
    encoded(GOOD[:, :, 0]),
    encoded(kind="JPEG"),
    encoded(kind="JPEG", progressive=True),
    encoded(kind="BMP"),
    encoded(kind="GIF"),
    encoded(kind="WEBP"),
    encoded(kind="TIFF"),
    encoded(kind="TIFF", compression="tiff_lzw"),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A picture file that was cut, or has some of its bytes changed, moved or repeated."""
    content = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 4))):
        # Headers matter most.
        at = draw(st.integers(0, min(len(content), draw(st.sampled_from([40, 400, 10_000])))))
        act = draw(st.sampled_from(["cut", "change", "insert", "remove"]))
        if act == "cut":
            del content[at:]
        elif act == "remove":
            del content[at : at + draw(st.integers(1, 64))]
        else:
            new = draw(st.binary(min_size=1, max_size=16))
            content[at : at + (len(new) if act == "change" else 0)] = new
    return bytes(content)


@settings(max_examples=200, **FUZZ)
@given(content=st.one_of(damaged(), st.binary(max_size=200)))
def test_damaged_pictures(client: TestClient, content: bytes) -> None:
    answer = client.post(DETECT, files=sent(content))
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code == 200:  # it can still be decoded
        assert answer.json()["Results"][0]["Score"] >= 0
    else:
        assert "\n" not in answer.json()["detail"]


@settings(max_examples=220, **FUZZ)
@given(
    body=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from([
                b"--x", b"--x--", b"\r\n", b"\r\n\r\n", b"--y", encoded(),
                b'Content-Disposition: form-data; name="images"; filename="a.png"',
                b'Content-Disposition: form-data; name="images"',
                b"Content-Disposition: form-data; name*=utf-8''images; filename*=bogus''%ff",
                b"Content-Type: image/png", b"Content-Transfer-Encoding: base64",
            ]),
        ),
        max_size=12,
    ),
    kind=st.sampled_from([
        "multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=x; charset=bogus", "multipart/form-data; boundary=\"x",
        "image/png", "application/x-www-form-urlencoded", "application/json", "",
    ]),
)  # fmt: skip
def test_malformed_requests(client: TestClient, body: list[bytes], kind: str) -> None:
    answer = client.post(DETECT, content=b"".join(body), headers={"Content-Type": kind})
    assert answer.status_code in (200, 400, 422), answer.text


def test_the_kind_of_a_body_is_known_in_capitals(client: TestClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    body += encoded(GOOD) + b"\r\n--x--\r\n"
    answer = client.post(
        DETECT, content=body, headers={"Content-Type": "Multipart/Form-Data; boundary=x"}
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "content",
    [
        png_that_claims(2**31 - 1, 2**31 - 1),
        png_that_claims(0, 5),
        png_that_claims(8_000, 8_001),
        encoded(GOOD[:1, :]),  # thin as a line
        encoded(np.zeros((1, 1, 3), np.uint8)),
        encoded(np.zeros((1, 30_000, 3), np.uint8)),
        encoded(np.zeros((30_000, 1, 3), np.uint8)),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"P6 8 8 255\n" + bytes(192),
        zlib.compress(bytes(1_000_000)),
        b"\x00" * 100,
    ],
)
def test_odd_pictures(client: TestClient, content: bytes) -> None:
    assert client.post(DETECT, files=sent(content)).status_code in (200, 400, 422)


def test_no_other_formats_than_those_said(client: TestClient) -> None:
    for kind in ("EPS", "ICO", "PCX", "SGI"):
        buffer = io.BytesIO()
        Image.fromarray(GOOD).save(buffer, format=kind)
        answer = client.post(DETECT, files=sent(buffer.getvalue()))
        assert answer.status_code == 400
        assert "not a picture in a format" in answer.json()["detail"]


def test_animations_and_names(client: TestClient) -> None:
    buffer = io.BytesIO()
    frames = [Image.fromarray(np.roll(GOOD, at, axis=1)) for at in range(3)]
    frames[0].save(buffer, format="GIF", save_all=True, append_images=frames[1:])
    assert "3 frames" in client.post(DETECT, files=sent(buffer.getvalue())).text
    for name in ("../../etc/passwd", "\x00", "a" * 5000, "<script>", "名前.png", ""):
        answer = client.post(DETECT, files={"images": (name, encoded())})
        assert answer.status_code in (200, 400, 422)
