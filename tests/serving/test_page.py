"""The page in a real browser: what hands do to it, and what it shows."""

from __future__ import annotations

import json
import queue
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Request

from softpatch import load
from softpatch.runtime.listing import EXTENSIONS
from softpatch.serving.app import _fixed
from tests.auditing.browser import CHROMIUM
from tests.serving.conftest import Make
from tests.serving.live import live
from tests.serving.pictures import DARK, GOOD, encoded
from tests.serving.test_seen import turned

FILES = {"good.png": encoded(GOOD), "dark.png": encoded(DARK)}
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
def opened(
    application: FastAPI,
    script: str,
    folder: Path,
    *options: str,
    pictures: Mapping[str, bytes] = FILES,
) -> Iterator[Any]:
    """What ``script``, the body of an async function, returns on the page, where it finds files."""
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
        *((f"/{name}", content, "plain") for name, content in pictures.items()),
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


def test_a_picture_to_look_at(make: Make, model: Path, tmp_path: Path) -> None:
    """Told apart by word, sign and colour, also while another threshold is tried."""
    detector = load(model)
    [good, dark] = (detector.predict(one).score for one in (GOOD, DARK))
    detector.threshold_, detector.look_ = 2 * dark, (good + dark) / 2
    detector.save(model)
    script = """
    await ready();
    choose([await picture("good.png"), await picture("dark.png")]); await scored(2);
    const words = () => texts("#history .word");
    const found = {own: words(), effect: $("effect").textContent,
      verdict: [$("verdict").className, $("verdict").textContent],
      outlines: $$("#outlines polygon").length,
      dots: $$("#scores circle").map(each => each.getAttribute("class"))};
    const tint = kind => { $("verdict").className = `verdict ${kind}`;
      const style = getComputedStyle($("verdict")); return [style.color, style.backgroundColor]; };
    found.tints = ["good", "look", "bad"].map(tint);
    enter("limit", "0"); found.lower = words();
    return found;
    """
    with opened(make(), script, tmp_path) as found:
        assert "error" not in found, found
    assert found["own"] == ["? Look at it", "✓ Good"]
    assert found["effect"].endswith(", 1 to look at")
    assert found["verdict"][0] == "verdict look"
    assert found["verdict"][1].startswith("? Look at itdark.png")
    assert found["outlines"] == 0  # nothing is called defective
    assert [one.split()[0] for one in found["dots"]] == ["look", "good"]
    assert found["lower"] == ["✕ Bad", "✕ Bad"]
    assert len({tuple(one) for one in found["tints"]}) == 3
    assert min(contrast(*map(rgb, one)) for one in found["tints"]) >= 4.5


def rgb(text: str) -> list[int]:
    return [int(one) for one in re.findall(r"\d+", text)[:3]]


def contrast(one: list[int], other: list[int]) -> float:
    """As WCAG 2 has it."""

    def luminance(colour: list[int]) -> float:
        linear = [
            share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
            for share in (value / 255 for value in colour)
        ]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


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
    assert found["history"] == [no, "✕ Bad", "✓ Good"]
    assert found["names"] == ["no.png", "dark.png", "good.png"]
    assert found["verdict"].startswith("✕ Baddark.pngscore ")
    assert found["outlines"] == 1
    assert found["heat"] == "data:image/png;base64,"
    assert found["box"][0] == found["box"][1] == found["box"][2]
    assert found["box"][0][2] / found["box"][0][3] == pytest.approx(64 / 48, rel=0.01)
    assert found["opacity"] == "0.25"
    assert found["hidden"] == 0
    assert found["effect"] == "1 of 2 pictures bad at 120, 0 to look at"
    words, effect, permanent = found["tried"]
    assert words == [no, "✓ Good", "✓ Good"]
    assert effect == "0 of 2 pictures bad at 1000000, 0 to look at"
    assert "softpatch threshold FILE --value 1000000" in permanent
    assert found["none"] == [[no, "✕ Bad", "✕ Bad"], "0"]
    assert found["reset"] == [[no, "✕ Bad", "✓ Good"], "120"]
    assert found["moved"][0].startswith("✓ Good")
    assert found["moved"][1].startswith("good.png")
    assert found["plain"] == ["This model has no threshold; try one.", "No threshold"]
    assert found["cleared"] == [0, True]
    assert found["over"] == [0, 0]  # nothing to scroll sideways for


def test_every_picture_is_shown_as_it_was_scored(make: Make, tmp_path: Path) -> None:
    pictures = {
        "dark.png": encoded(DARK), "dark.tif": encoded(DARK, "TIFF"),
        "dark.ppm": encoded(DARK, "PPM"), "turned.webp": turned("WEBP", lossless=True),
        "wide.tif": encoded(np.hstack([DARK, GOOD]), "TIFF"),
        "one colour.tif": encoded(np.full((48, 96, 3), 200, np.uint8), "TIFF"),
    }  # fmt: skip
    script = f"""
    await ready();
    const names = {json.dumps(list(pictures))}, found = [];
    choose(await Promise.all(names.map(picture))); await scored(names.length);
    for (const button of $$("#history button").reverse()) {{
      button.click();
      await until(() => $("picture").complete && $("picture").naturalWidth);
      await new Promise(go => setTimeout(go));  // after what the page does then
      const canvas = element("canvas", {{width: 64, height: 48}});
      const look = canvas.getContext("2d");
      look.drawImage($("picture"), 0, 0, 64, 48);
      const box = $("figure").getBoundingClientRect(), thumb = button.querySelector("canvas");
      found.push({{
        picture: [...look.getImageData(0, 0, 64, 48).data].filter((_, at) => at % 4 === 0),
        thumb: thumb.getContext("2d").getImageData(95, 20, 1, 1).data[0],
        shape: box.width / box.height, heat: !$("heat").hidden,
        remark: $("remark").hidden ? "" : $("remark").textContent,
        word: button.querySelector(".word").textContent}});
    }}
    return found;
    """
    with opened(make(), script, tmp_path, pictures=pictures) as found:
        assert "error" not in found, found
    *dark, wide, refused = found
    for one in dark:
        shown = np.array(one.pop("picture")).reshape(48, 64)
        assert np.abs(shown - DARK[:, :, 0].astype(int)).mean() < 12
        assert one.pop("thumb") > 150
        assert one.pop("shape") == pytest.approx(64 / 48, rel=0.01)
        assert one == {"heat": True, "remark": "", "word": "✕ Bad"}
    assert wide["shape"] == pytest.approx(128 / 48, rel=0.01)
    assert wide["remark"] == (
        "This picture has 128 x 48 pixels, and training pictures have 64 x 48 pixels: another "
        "shape. Its score may mean less."
    )
    assert refused["picture"] == pytest.approx([200] * 64 * 48, abs=2)
    assert refused["shape"] == pytest.approx(2, rel=0.01)
    assert (refused["heat"], refused["remark"]) == (False, "")
    assert refused["word"] == "one colour.tif: not judged: it shows one even colour; take it again"


def test_one_picture_that_is_refused_is_sent_once_and_hides_no_other(
    make: Make, tmp_path: Path
) -> None:
    pictures = {
        "black.png": encoded(np.zeros((48, 64, 3), np.uint8)), "good.png": encoded(GOOD),
        "dark.png": encoded(DARK), "no.txt": b"no picture",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30"/>',
    }  # fmt: skip
    script = f"""
    await ready();
    let asked = 0;
    const ask = window.fetch;
    window.fetch = (path, ...more) => {{
      asked += path.includes("/detect"); return ask(path, ...more); }};
    const typed = async (name, type) => new File([await picture(name)], name, {{type}});
    const types = {{"no.txt": "text/plain", "drawing.svg": "image/svg+xml"}};
    const all = new DataTransfer();
    for (const name of {json.dumps(list(pictures))})
      all.items.add(await typed(name, types[name] ?? "image/png"));
    document.dispatchEvent(new DragEvent("drop", {{dataTransfer: all, bubbles: true}}));
    await scored({len(pictures)});
    const shown = [];
    for (const button of $$("#history button").reverse()) {{
      button.click();
      await until(() => $("picture").complete);
      await new Promise(go => setTimeout(go, 50));
      shown.push([$("remark").textContent, $("figure").hidden]);
    }}
    return {{asked, words: texts("#history .word").reverse(), shown}};
    """
    with opened(make(), script, tmp_path, pictures=pictures) as found:
        assert "error" not in found, found
    assert found == {
        "asked": len(pictures),
        "words": [
            "black.png: not judged: it is black: its brightest place has 0% of white, that of "
            "training pictures 81%; take it again",
            "✓ Good", "✕ Bad",
            "no.txt: not a picture in a format that can be read",
            "drawing.svg: not a picture in a format that can be read",
        ],
        "shown": [
            ["", False], ["", False], ["", False], ["This browser cannot show the file.", True],
            ["As this browser shows the file:", False],
        ],
    }  # fmt: skip


def test_every_format_that_is_read_can_be_chosen() -> None:
    page = files("softpatch.serving").joinpath("page", "index.html").read_text("utf-8")
    [accepted] = re.findall(r'multiple hidden\s+accept="image/\*,([^"]*)"', page)
    by_their_kind = {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".dib", ".webp", ".gif"}
    assert EXTENSIONS - by_their_kind == set(accepted.split(","))


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
    assert found == {"word": "✕ Bad", "ended": "ended", "live": False}


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
    assert found == {"before": [True, True], "after": [False, True], "history": ["✓ Good"]}
