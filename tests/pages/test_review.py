"""The page: what is in it, and what a keyboard does to it in a real browser."""

from __future__ import annotations

import base64
import io
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from softpatch.auditing.decisions import read_decisions
from softpatch.compute.progress import silent
from softpatch.errors import ImageError
from softpatch.pages.review import (
    Card,
    Reason,
    as_shares,
    heat_layer,
    render,
    thumbnail,
    thumbnails,
)
from softpatch.runtime.images import read_levels
from softpatch.runtime.intensity import FULL
from tests.auditing.browser import Browser
from tests.runtime.odd_files import FILES

HOSTILE = "a/</script><script>document.title='owned'</script>\u2028&amp;'\".png"


def cards(count: int = 70) -> list[Card]:
    """Cards of which the first two have reasons and all a thumbnail."""
    thumb = thumbnail(torch.full((3, 40, 60), 90, dtype=torch.uint8))
    heat = heat_layer(np.linspace(0, 3, 16, dtype=np.float32).reshape(4, 4), 1.0, 2.0)
    reasons = {0: [Reason("outlier", "unlike the others")], 1: [Reason("blurred", "soft")]}
    return [
        Card(
            path=f"left/{at:03}.png" if at else HOSTILE,
            rank=at + 1,
            score=3 - at / 100,
            confidence=max(0.0, 1 - at / 10),
            reasons=reasons.get(at, []),
            group={2: 1, 5: 1, 69: 1, 3: 2, 4: 2, 6: 2}.get(at),
            region=(0.25, 0.25, 0.5, 0.5),
            box=(0.0, 0.0, 1.0, 1.0),
            thumb=thumb,
            heat=heat,
            sha256=f"{at:064x}",
        )
        for at in range(count)
    ]


def page(count: int = 70) -> bytes:
    return render("Audit of parts", ["70 pictures & more"], "/data/parts", cards(count))


def embedded(content: bytes) -> dict[str, Any]:
    found = re.search(r'type="application/json">(.*?)</script>', content.decode(), re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_page_needs_nothing_beside_it() -> None:
    text = page().decode()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", text)
    assert "@import" not in text
    assert "url(" not in text.lower().replace("createobjecturl(", "").replace(
        "revokeobjecturl(", ""
    )
    assert "default-src 'none'" in text
    assert "70 pictures &amp; more" in text


def test_data_is_escaped_and_complete() -> None:
    content = page()
    data = embedded(content)  # the hostile name has not ended the script element
    assert [card["path"] for card in data["cards"]] == [card.path for card in cards()]
    assert data["cards"][0]["reasons"] == [{"code": "outlier", "text": "unlike the others"}]
    assert data["folder"] == "/data/parts"


def test_key_belongs_to_the_files() -> None:
    changed = [*cards()[:-1], Card(path="left/069.png", sha256="f" * 64)]
    again = render("A later audit", [], "/data/parts", cards()[::-1])
    assert embedded(page())["key"] == embedded(again)["key"]
    assert embedded(render("t", [], "/data/parts", changed))["key"] != embedded(page())["key"]


def test_heat_is_clear_up_to_calm_and_full_from_strong() -> None:
    heat = np.array([[0.0, 1.0, 1.5, 2.0, 9.0]], dtype=np.float32)
    uri = heat_layer(heat, 1.0, 2.0)
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))) as image:
        alpha = np.asarray(image)[0, :, 3].tolist()
    assert alpha[:2] == [0, 0]
    assert 0 < alpha[2] < alpha[3] == alpha[4] == 255


def test_thumbnails_are_small_and_keep_their_shape() -> None:
    for size, expected in (((1000, 500), (160, 320)), ((20, 30), (30, 20))):
        uri = thumbnail(torch.rand(3, *size))
        with Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))) as image:
            assert image.size == expected


def test_what_a_page_shows_is_what_was_scored_whatever_a_browser_makes_of_the_file(
    tmp_path: Path,
) -> None:
    seen = {}
    for number, make in enumerate(FILES.values()):
        path = tmp_path / str(number)
        path.write_bytes(make())
        with suppress(ImageError):
            seen[str(path)] = read_levels(path).values
    shown = thumbnails(dict.fromkeys(seen, FULL), silent)
    assert shown.keys() == seen.keys()
    assert len(seen) > 50
    for name, uri in shown.items():
        head, _, content = uri.partition(";base64,")
        assert head == "data:image/jpeg"
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            apart = abs(np.asarray(image).astype(int) - seen[name])
        assert apart.mean() < 8  # of 255: as a JPEG


def test_shares() -> None:
    assert as_shares((10, 20, 30, 40), (80, 40)) == (0.25, 0.25, 0.75, 0.5)


PRESS = """
const press = (key, more = {}) =>
  document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, ...more}));
const shift = digit => press("!", {shiftKey: true, code: `Digit${digit}`});
const undo = () => press("z", {ctrlKey: true});
const removed = () => Object.keys(JSON.parse(exported()).decisions).map(path => path.slice(5, 8));
const visible = id => !document.getElementById(id).hidden;
const at = () => document.querySelector("article.here").dataset.path;
const paths = () => [...document.querySelectorAll("article")].map(each => each.dataset.path);
const set = (id, value) => { const input = document.getElementById(id); input.value = value;
  input.dispatchEvent(new Event("input", {bubbles: true})); };
let saved = null; Blob = class { constructor(parts) { saved = parts.join(""); } };
URL.createObjectURL = () => "#";
const exported = () => { press("e"); return saved; };
"""


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path / "browser")


def test_decisions_by_keyboard_survive_a_reload_and_are_exported(
    browser: Browser, tmp_path: Path
) -> None:
    first = browser.run(
        page(),
        PRESS
        + """
        const started = at();
        press("2"); press("1"); press("3"); press("2"); press("k"); press("0");
        const stayed = at();
        press("j"); press("j");
        return {started, stayed, now: at(), title: document.title, made: paths().length,
          counted: document.getElementById("count").textContent,
          classes: document.querySelector("article").className,
          text: exported()};
        """,
    )
    assert first["started"] == HOSTILE
    assert (first["stayed"], first["now"]) == ("left/003.png", "left/005.png")
    assert first["title"] == "Audit of parts"
    assert first["made"] >= 60
    assert "70 of 70 shown; 1 keep, 1 remove, 1 unsure" in first["counted"]
    assert "remove" in first["classes"]

    again = browser.run(page(), PRESS + "return exported();")
    assert again == first["text"]
    content = json.loads(again)
    assert content["format"] == "softpatch-decisions"
    assert content["folder"] == "/data/parts"
    assert content["decisions"] == {
        HOSTILE: "remove", "left/001.png": "keep", "left/002.png": "unsure",
    }  # fmt: skip
    assert content["sha256"] == {path: f"{at:064x}" for at, path in enumerate(content["decisions"])}
    written = tmp_path / "decisions.json"
    written.write_text(again, encoding="utf-8")
    assert read_decisions(written).remove == (HOSTILE,)


def test_filters_and_sorting(browser: Browser) -> None:
    found = browser.run(
        page(),
        PRESS
        + """
        const result = {all: paths().length};
        set("text", "SOFT"); result.words = paths(); set("text", "");
        set("reason", "outlier"); result.reason = paths(); set("reason", "");
        set("confidence", "0.75"); result.sure = paths().length; set("confidence", "0");
        press("j"); press("2");
        set("decision", "remove"); result.removed = paths(); set("decision", "");
        set("sort", "path"); result.first = paths()[0]; set("sort", "rank");
        press("End"); result.last = at(); result.made = paths().length;
        press("h"); result.heat = document.documentElement.style.getPropertyValue("--heat");
        return result;
        """,
    )
    assert found["words"] == found["removed"] == ["left/001.png"]
    assert found["reason"] == [HOSTILE]
    assert found["sure"] == 3
    assert found["first"] == HOSTILE
    assert (found["last"], found["made"]) == ("left/069.png", 70)
    assert found["heat"] == "0"


def test_a_group_is_shown_before_it_is_decided_about_at_once(browser: Browser) -> None:
    found = browser.run(
        page(),
        PRESS
        + """
        const result = {bar: visible("together")};
        press("j"); press("j");
        shift(2); result.asked = paths(); result.none = removed(); result.now = at();
        result.words = document.getElementById("together").textContent;
        shift(2); result.all = removed();
        undo(); result.undone = removed();
        document.querySelector("#together button:nth-of-type(2)").click();
        result.clicked = removed();
        press("Escape"); result.back = paths().length >= 60; result.bar ||= visible("together");
        undo(); result.nothing = removed(); undo();
        document.querySelector("article:nth-child(4) button.reason").click();
        result.other = paths();
        return result;
        """,
    )
    group = ["left/002.png", "left/005.png", "left/069.png"]
    assert found["asked"] == group
    assert found["now"] == group[0]
    assert found["none"] == found["undone"] == found["nothing"] == []
    assert "Group 1: 3 pictures that look alike" in found["words"]
    assert found["all"] == found["clicked"] == ["002", "005", "069"]
    assert found["back"]
    assert not found["bar"]
    assert found["other"] == ["left/003.png", "left/004.png", "left/006.png"]


def test_no_picture_is_decided_about_with_its_group_while_it_is_not_shown(browser: Browser) -> None:
    found = browser.run(
        page(),
        PRESS
        + """
        set("group", "1"); set("text", "00"); const bar = visible("together");
        shift(2); return {bar, none: removed(), shown: paths().length};
        """,
    )
    assert found == {"bar": False, "none": [], "shown": 3}


def test_undo_takes_back_one_decision_after_the_other(browser: Browser) -> None:
    found = browser.run(
        page(),
        PRESS
        + """
        const button = document.getElementById("undo"), result = {before: button.disabled};
        press("j"); press("2"); press("1"); press("k"); press("2");
        const decided = () => Object.values(JSON.parse(exported()).decisions).join(" ");
        result.changed = decided(); undo(); result.once = decided(); result.at = at();
        button.click(); result.twice = decided(); button.click(); result.all = decided();
        result.after = button.disabled; return result;
        """,
    )
    assert found == {
        "before": True, "changed": "remove remove", "once": "remove keep", "at": "left/002.png",
        "twice": "remove", "all": "", "after": True,
    }  # fmt: skip


def test_escape_clears_the_filter_that_it_leaves(browser: Browser) -> None:
    found = browser.run(
        page(),
        PRESS
        + """
        set("text", "soft"); const few = paths().length, field = document.getElementById("text");
        field.focus();
        field.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape", bubbles: true}));
        return {few, empty: field.value === "", all: paths().length >= 60,
          left: document.activeElement !== field};
        """,
    )
    assert found == {"few": 1, "empty": True, "all": True, "left": True}


def test_a_picture_is_enlarged_decided_about_and_left(browser: Browser) -> None:
    found = browser.run(
        page(),
        PRESS
        + """
        const large = document.getElementById("large"), result = {};
        press("Enter"); result.open = visible("large"); press("2");
        result.next = large.textContent; press("k"); result.decided = large.textContent;
        result.size = large.querySelector(".picture").getBoundingClientRect().width;
        press("Escape"); result.closed = !visible("large"); result.cards = paths().length >= 60;
        document.querySelector("article:nth-child(2) .picture").click();
        result.clicked = large.textContent; large.click(); result.again = visible("large");
        return result;
        """,
    )
    assert found["open"]
    assert found["closed"]
    assert found["cards"]
    assert not found["again"]
    assert found["next"] == found["clicked"] == "left/001.png"
    assert found["decided"].endswith(" · remove")
    assert found["size"] > 600


def test_export_says_what_to_do_with_the_file(browser: Browser) -> None:
    content = render("Audit", [], "/data/parts", cards(3), "softpatch clean /data decisions.json")
    found = browser.run(
        content,
        PRESS
        + """
        const before = visible("after"); exported();
        return [before, document.getElementById("after").textContent];
        """,
    )
    assert found == [False, "Then: softpatch clean /data decisions.json"]
