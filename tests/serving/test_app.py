"""The routes: what they answer, and to whom."""

from __future__ import annotations

import base64
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from softpatch import UsageError, load
from softpatch.predictions.overlays import layer
from softpatch.serving import ServerSettings
from softpatch.serving.log_lines import JsonLines
from softpatch.serving.observing import VERDICTS
from tests.png import png_that_claims
from tests.serving.conftest import Make
from tests.serving.pictures import DARK, GOOD, encoded, sent

DETECT = "/models/part/detect"


def test_records_are_the_detector_s_own(client: TestClient, model: Path) -> None:
    answer = client.post(DETECT, files=sent(encoded(GOOD), encoded(DARK)))
    assert answer.status_code == 200
    content = answer.json()
    assert content["Model"] == "part"
    detector = load(model)
    for result, picture, bad in zip(content["Results"], (GOOD, DARK), (False, True), strict=True):
        prediction = detector.predict(picture)
        level = prediction.level
        assert level is not None
        assert result["Score"] == pytest.approx(prediction.score, rel=1e-5)
        assert result["IsAnomalous"] is prediction.anomalous is bad
        assert result["Verdict"] == prediction.verdict == ("bad" if bad else "good")
        assert (result["Look"], result["PValue"]) == (prediction.look, prediction.p_value)
        assert result["Rarity"] == prediction.rarity
        assert result["Level"] == pytest.approx(level, rel=1e-5)
        assert result["Confidence"] == pytest.approx(max(level, 1 - level), rel=1e-5)
        assert (result["Threshold"], result["Width"], result["Height"]) == (120, 64, 48)
        assert bool(result["Regions"]) is bad
        assert result["AnomalyMask"] is None
    assert [result["Name"] for result in content["Results"]] == ["0.png", "1.png"]
    [region] = content["Results"][1]["Regions"]
    x, y = np.array(region["Polygon"]).mean(axis=0)
    assert 20 < x < 40  # where the spot is
    assert 10 < y < 30
    assert 10 < region["PercentageArea"] < 90


def test_a_picture_to_look_at(make: Make, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    detector = load(model)
    [good, dark] = (detector.predict(one).score for one in (GOOD, DARK))
    detector.threshold_, detector.look_ = 2 * dark, (good + dark) / 2
    detector._recalibrate(held_out=torch.tensor([good, 3 * dark]))
    detector.save(model)
    with TestClient(make()) as client, caplog.at_level("INFO"):
        [served] = client.get("/models").json()
        assert (served["Threshold"], served["Look"]) == (2 * dark, detector.look_)
        answer = client.post(f"{DETECT}?map=png", files=sent(encoded(GOOD), encoded(DARK)))
        calm, look = answer.json()["Results"]
        assert (calm["Verdict"], look["Verdict"]) == ("good", "look")
        assert look["IsAnomalous"] is False
        assert look["Regions"] == []
        assert look["PValue"] == 2 / 3
        assert look["Rarity"] == "of 1,000 good pictures about 667 score this high"
        drawn = []
        for one in (calm, look):
            with Image.open(io.BytesIO(base64.b64decode(one["AnomalyMask"]))) as mask:
                drawn.append(bool(np.asarray(mask)[..., 3].any()))
        assert drawn == [False, True]
        assert counted(client)['softpatch_pictures_total{model="part",verdict="look"}'] == 1
    fields = [vars(record).get("fields", {}) for record in caplog.records]
    assert [one["verdicts"] for one in fields if "verdicts" in one] == [{"good": 1, "look": 1}]


def test_map_as_png(client: TestClient, model: Path) -> None:
    [result] = client.post(f"{DETECT}?map=png", files=sent(encoded(DARK))).json()["Results"]
    detector = load(model)
    expected = layer(detector.predict(DARK), detector.normal_limit_)
    with Image.open(io.BytesIO(base64.b64decode(result["AnomalyMask"]))) as mask:
        assert (mask.size, mask.mode) == ((64, 48), "RGBA")
        np.testing.assert_allclose(np.asarray(mask).astype(int), np.asarray(expected), atol=2)
        alpha = np.asarray(mask)[:, :, 3]
    assert alpha[20, 30] > 200
    assert alpha.min() == 0


def test_pictures_as_cameras_turn_them(client: TestClient) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    upload = encoded(GOOD, "JPEG", exif=exif, quality=100)
    [result] = client.post(DETECT, files=sent(upload)).json()["Results"]
    assert (result["Width"], result["Height"]) == (48, 64)


def test_model_without_a_threshold_gives_no_verdict(make: Make, small_model: Path) -> None:
    with TestClient(make({"plain": small_model})) as client:
        [result] = client.post("/models/plain/detect", files=sent(encoded(DARK))).json()["Results"]
    verdict = ("IsAnomalous", "Confidence", "Level", "Threshold")
    assert [result[key] for key in verdict] == [None] * 4
    assert result["Score"] > 0
    assert result["Regions"]


def test_one_bad_picture_fails_the_request_and_is_named(client: TestClient) -> None:
    answer = client.post(DETECT, files=sent(encoded(), b"no picture", encoded()))
    assert answer.status_code == 400
    assert answer.json() == {"detail": "1.png: not a picture in a format that can be read"}
    answer = client.post(DETECT, files=sent(encoded(), encoded()[:-200]))  # the header is whole
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("1.png: cut or corrupt")


def test_a_picture_that_shows_nothing_is_not_judged(client: TestClient) -> None:
    answer = client.post(DETECT, files=sent(encoded(), encoded(np.zeros((48, 64, 3), np.uint8))))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("1.png: not judged: it is black: its brightest place")


def test_limits(make: Make) -> None:
    application = make(max_bytes=20_000, max_pixels=3_000, max_pictures=2)
    with TestClient(application) as client:
        for answer, status, words in (
            (client.post(DETECT, files=sent(bytes(30_000))), 413, "more than 20,000 bytes"),
            (
                client.post(DETECT, files=sent(png_that_claims(60_000, 60_000))),
                400,
                "0.png: more than 64,000",
            ),
            (
                client.post(DETECT, files=sent(png_that_claims(51, 60))),
                400,
                "0.png: more than 3,000 pixels",
            ),
            (client.post(DETECT, files=sent(b"", b"", b"")), 400, "Too many files"),
            (client.post(DETECT, files=sent(b"")), 400, "the file is empty"),
            (client.post(DETECT, content=encoded()), 400, "multipart/form-data in the field"),
            (client.post(DETECT, files={"image": encoded()}), 400, "no pictures in the field"),
            (client.post(DETECT, data={"images": "x"}, files={"a": b""}), 400, "no pictures in"),
            (client.post("/models/lid/detect", files=sent(encoded())), 404, "no such model"),
            (client.post(f"{DETECT}?map=jpg", files=sent(encoded())), 422, "literal_error"),
        ):
            assert answer.status_code == status, answer.text
            assert words in answer.text


def test_settings_that_make_no_sense() -> None:
    wrong: dict[str, Any]
    for wrong in ({"api_key": ""}, {"api_key": "ä"}, {"max_pixels": 10**9}, {"queue": 1}):
        with pytest.raises(UsageError):
            ServerSettings(**wrong)


def test_without_the_key_nothing_but_health(make: Make) -> None:
    with TestClient(make(api_key="correct horse")) as client:
        for key in (b"", b"correct hors", b"\xe4"):
            for method, path in (
                ("GET", "/models"),
                ("POST", "/models/part/reload"),
                ("POST", DETECT),
                ("POST", "/models/lid/detect"),  # nor which models there are
            ):
                answer = client.request(method, path, headers={b"X-API-Key": key})
                assert answer.status_code == 401
                assert "X-API-Key" in answer.json()["detail"]
        right = {"X-API-Key": "correct horse"}
        assert client.post(DETECT, files=sent(encoded()), headers=right).status_code == 200
        assert client.get("/models", headers=right).json()[0]["Name"] == "part"
        for path in ("/", "/health", "/ready", "/metrics", "/openapi.json"):
            assert client.get(path).status_code == 200


def test_page_is_whole_and_strict(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<script src="page.js">' in page.text
    assert client.get("/page.css").headers["content-type"].startswith("text/css")
    assert client.get("/page.js").headers["content-type"].startswith("text/javascript")
    for answer in (page, client.get("/nowhere"), client.post(DETECT)):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/", "/page.css", "/page.js"):
        text = client.get(path).text.replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text
        assert "//" not in text.replace("// ", "").replace("\n//", "")


def counted(client: TestClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def test_metrics_count_what_happened(client: TestClient) -> None:
    client.post(DETECT, files=sent(encoded(GOOD), encoded(DARK), encoded(DARK)))
    client.post(DETECT, files=sent(b"no picture"))
    client.get("/made/up/1")
    client.request("BREW", "/made/up/2")
    found = counted(client)
    assert found['softpatch_pictures_total{model="part",verdict="anomalous"}'] == 2
    assert found['softpatch_pictures_total{model="part",verdict="good"}'] == 1
    detect = 'method="POST",route="/models/{name}/detect"'
    assert found[f'softpatch_requests_total{{{detect},status="200"}}'] == 1
    assert found[f'softpatch_requests_total{{{detect},status="400"}}'] == 1
    assert found['softpatch_requests_total{method="GET",route="none",status="404"}'] == 1
    assert found['softpatch_requests_total{method="other",route="none",status="404"}'] == 1
    assert found["softpatch_batch_pictures_sum"] == 3
    assert found["softpatch_waiting_pictures"] == 0
    assert set(VERDICTS.values()) == {"anomalous", "look", "good", "none"}


def test_logs_are_json_and_tell_nothing_of_pictures(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "patient-7"

    def post(content: bytes) -> int:
        return client.post(
            f"{DETECT}?who={secret}", files={"images": (f"{secret}.png", content, secret)},
            headers={"X-Name": secret},
        ).status_code  # fmt: skip

    assert post(encoded()) == 200
    assert post(secret.encode()) == 400
    assert client.get(f"/{secret}").status_code == 404
    monkeypatch.setattr("softpatch.serving.app.Result.of", lambda *_, **__: 1 / 0 if secret else 0)
    assert post(encoded()) == 500
    ours = [each for each in caplog.records if each.name == "softpatch.serving"]
    lines = [json.loads(JsonLines().format(each)) for each in ours]
    assert [line["status"] for line in lines if line["event"] == "request"] == [200, 400, 404, 500]
    assert lines[0]["bytes"] == len(encoded())
    [failed] = [line for line in lines if line["event"] == "failed"]
    assert failed["error"] == "ZeroDivisionError"
    assert "app.py" in " ".join(failed["at"])
    served = [each for each in caplog.records if not each.name.startswith("httpx")]
    assert secret not in "".join(JsonLines().format(each) for each in served)


def test_a_model_that_fails_is_500_with_no_details(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softpatch.SoftPatch.predict", lambda *_, **__: [][1])
    answer = client.post(DETECT, files=sent(encoded()))
    assert (answer.status_code, answer.json()) == (500, {"detail": "internal error"})
    assert client.get("/ready").status_code == 200
