"""The page in a real browser: what hands do to it, and what it shows."""

from __future__ import annotations

import json
import queue
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

from softpatch.serving.app import _fixed
from tests.auditing.browser import CHROMIUM
from tests.serving.conftest import Make
from tests.serving.live import live
from tests.serving.pictures import DARK, GOOD, encoded

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")

TOOLS = """
const $$ = selector => [...document.querySelectorAll(selector)];
const texts = selector => $$(selector).map(each => each.textContent);
const until = async true_ => { for (let turn = 0; !true_(); turn += 1) {
  if (turn > 3000) throw new Error(`never ${true_}: ${document.body.innerText}`);
  await new Promise(go => setTimeout(go, 10)); } };
const picture = async name => new File([await (await fetch(name)).blob()], name);
const choose = files => { const all = new DataTransfer();
  for (const file of files) all.items.add(file);
  $("files").files = all.files; $("files").dispatchEvent(new Event("change")); };
const scored = count => until(() => $$("#history li").length === count && !$("busy").textContent);
const enter = (id, value, event = "input") => { $(id).value = value;
  $(id).dispatchEvent(new Event(event, {bubbles: true})); };
const ready = () => until(() => $$("#model option").length);
"""


@contextmanager
def opened(application: FastAPI, script: str, folder: Path, *options: str) -> Iterator[Any]:
    """What ``script``, the body of an async function, returns on the page."""
    results: queue.Queue[Any] = queue.Queue()
    page = files("softpatch.serving").joinpath("page", "index.html").read_text("utf-8")
    page = page.replace("</body>", '<script src="test/script.js"></script></body>')
    # Not in the page: its policy forbids that.
    script = (
        "(async () => {" + TOOLS + script + "})().catch(error => ({error: String(error)}))"
        + ".then(value => fetch('test/result', {method: 'POST', body: JSON.stringify(value)}));"
    )  # fmt: skip

    async def take(request: Request) -> None:
        results.put(json.loads(await request.body()))

    for path, content, kind in (
        ("/test", page.encode(), "html"),
        ("/test/script.js", script.encode(), "javascript"),
        ("/good.png", encoded(GOOD), "png"),
        ("/dark.png", encoded(DARK), "png"),
    ):
        application.add_api_route(path, _fixed(content, f"text/{kind}"))
    application.add_api_route("/test/result", take, methods=["POST"])
    with (
        live(application) as address,
        subprocess.Popen(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu",
                "--remote-debugging-port=0", "--window-size=390,844",
                f"--user-data-dir={folder / 'profile'}", *options, f"{address}test",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as browser,
    ):  # fmt: skip
        try:
            yield results.get(timeout=300)
        finally:
            browser.terminate()


def test_pictures_verdicts_and_thresholds(make: Make, small_model: Path, tmp_path: Path) -> None:
    script = """
    await ready();
    const over = () => { const page = document.documentElement;
      return page.scrollWidth - page.clientWidth; };
    const found = {models: texts("#model option"), over: [over()]};
    choose([await picture("good.png"), await picture("dark.png"), new File(["x"], "no.png")]);
    await scored(3);
    found.history = texts("#history .word"); found.names = texts("#history .name");
    $$("#history button")[1].click();
    found.verdict = $("verdict").textContent; found.outlines = $$("#outlines polygon").length;
    found.heat = $("heat").src.slice(0, 22);
    await until(() => $("picture").complete);
    found.box = ["picture", "heat", "outlines"].map(id => {
      const box = $(id).getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; });
    enter("opacity", 0.25); found.opacity = getComputedStyle($("heat")).opacity;
    $("outlined").click(); found.hidden = $$("#outlines polygon").length;
    found.effect = $("effect").textContent;
    enter("limit", "1e6");
    found.tried = [texts("#history .word"), $("effect").textContent, $("permanent").textContent];
    enter("slide", 0); found.none = [texts("#history .word"), $("limit").value];
    $("reset").click(); found.reset = [texts("#history .word"), $("limit").value];
    $$("#history button")[1].dispatchEvent(
      new KeyboardEvent("keydown", {key: "ArrowDown", bubbles: true}));
    found.moved = [$("verdict").textContent, document.activeElement.textContent];
    enter("model", "plain", "change");
    choose([await picture("dark.png")]); await scored(4);
    found.plain = [$("effect").textContent, texts("#history .word")[0]];
    found.over.push(over());
    $("clear").click(); found.cleared = [$$("#history li").length, $("shown").hidden];
    return found;
    """
    with opened(make({"plain": small_model}), script, tmp_path) as found:
        assert "error" not in found, found
    assert found["models"] == ["part", "plain"]
    no = "no.png: not a picture in a format that can be read"
    assert found["history"] == [no, "Anomalous", "Good"]
    assert found["names"] == ["no.png", "dark.png", "good.png"]
    assert found["verdict"].startswith("Anomalousdark.pngscore ")
    assert found["outlines"] == 1
    assert found["heat"] == "data:image/png;base64,"
    assert found["box"][0] == found["box"][1] == found["box"][2]
    assert found["box"][0][2] / found["box"][0][3] == pytest.approx(64 / 48, rel=0.01)
    assert found["opacity"] == "0.25"
    assert found["hidden"] == 0
    assert found["effect"] == "1 of 2 pictures anomalous at 120"
    words, effect, permanent = found["tried"]
    assert words == [no, "Good", "Good"]
    assert effect == "0 of 2 pictures anomalous at 1000000"
    assert "softpatch threshold FILE --value 1000000" in permanent
    assert found["none"] == [[no, "Anomalous", "Anomalous"], "0"]
    assert found["reset"] == [[no, "Anomalous", "Good"], "120"]
    assert found["moved"][0].startswith("Good")
    assert found["moved"][1].startswith("good.png")
    assert found["plain"] == ["This model has no threshold; try one.", "No threshold"]
    assert found["cleared"] == [0, True]
    assert found["over"] == [0, 0]  # nothing to scroll sideways for


def test_camera(make: Make, tmp_path: Path) -> None:
    script = """
    await ready();
    $("camera").click();
    await until(() => $("video").videoWidth);
    await until(() => document.activeElement.id === "capture");
    $("capture").click(); await scored(1);
    const track = $("video").srcObject.getTracks()[0];
    $("close").click();
    return {name: texts("#history .name")[0], word: texts("#history .word")[0],
      ended: track.readyState, live: !$("live").hidden};
    """
    fakes = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with opened(make(), script, tmp_path, *fakes) as found:
        assert "error" not in found, found
    assert found.pop("name").startswith("camera ")
    assert found == {"word": "Anomalous", "ended": "ended", "live": False}


def test_key_is_asked_for(make: Make, tmp_path: Path) -> None:
    script = """
    await until(() => !$("access").hidden);
    const before = [$("choose").disabled, $("notice").hidden];
    let answers = 0;
    const ask = window.fetch;
    window.fetch = async (...request) => {
      const answer = await ask(...request); answers += 1; return answer; };
    $("key").value = "wrong"; $("access").requestSubmit();
    await until(() => answers && !$("access").hidden);
    $("key").value = "right"; $("access").requestSubmit(); await ready();
    choose([await picture("good.png")]); await scored(1);
    return {before, after: [$("choose").disabled, $("access").hidden],
      history: texts("#history .word")};
    """
    with opened(make(api_key="right"), script, tmp_path) as found:
        assert "error" not in found, found
    assert found == {"before": [True, True], "after": [False, True], "history": ["Good"]}
