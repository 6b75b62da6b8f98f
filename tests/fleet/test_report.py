"""The report: its tables, its page in a real browser, and what it advises."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from softpatch.calling.threshold import Threshold
from softpatch.cli.fit_many import _again
from softpatch.fleet.advice import advise
from softpatch.fleet.drift import Drift
from softpatch.fleet.fitting import FAILED, FITTED, GONE, KEPT, UNCHANGED, Learned, Visit
from softpatch.fleet.fleet import CameraReport, Fleet
from softpatch.fleet.report import BEGINNINGS, as_dict, cells, summary, write_report
from softpatch.fleet.two_sample import Comparison
from softpatch.runtime.targets import check_results
from tests.auditing.browser import Browser
from tests.auditing.pictures import parts

HOSTILE = "a/</script><script>document.title='owned'</script>&amp;'\""
PLENTY = Threshold(2.0, 0.01, 200, 0.00995, 0.6)


def learned(rate: float = 0.0, low: float = 0.0, suspects: tuple[str, ...] = ()) -> Learned:
    return Learned(100, rate, (low, 0.2), suspects, 2.0, PLENTY)


def fleet(folder: Path) -> Fleet:
    """One camera of each kind, over pictures that are there."""
    pictures = [str(path) for path in parts(folder / "plant/b/drifted", 4)]
    compared = Comparison(40, 31, 0.62, 0.88, 0.031, 1e-20, 1e-30)
    calm = Comparison(40, 1, 0.0, 0.13, 0.031, 0.7, 1e-30)

    def visit(name: str, outcome: str, **rest: object) -> Visit:
        return Visit(
            name, folder / "plant" / name, folder / "models" / f"{name}.softpatch", outcome,
            **rest,  # type: ignore[arg-type]
        )  # fmt: skip

    visits = [
        visit("a b/failed", FAILED, error="1 readable training pictures"),
        visit(
            "b/drifted", KEPT, learned=learned(),
            drift=Drift(40, compared, 25, -0.12, None, tuple(pictures[:3])),
        ),
        visit("c/gone", GONE),
        visit("d/bad", FITTED, learned=learned(0.1, 0.04, tuple(pictures[1:]))),
        visit("e/light", FITTED, learned=learned(), drift=Drift(9, calm, 0, 0.1, -1.5, ())),
        visit(HOSTILE, UNCHANGED, learned=learned(), unreadable=(("x/cut.png", "0 bytes"),)),
        visit("g/few", FITTED, learned=Learned(30, 0.0, (0.0, 0.1), (), 2.0,
              Threshold(2.0, 0.01, 30, 1 / 31, 0.3))),
        visit("h/ok", UNCHANGED, learned=learned()),
    ]  # fmt: skip
    lines = [
        CameraReport(one, tuple(advise(one, "softpatch fit-many plant -o models")))
        for one in visits
    ]
    return Fleet(folder / "plant", folder / "models", tuple(lines))


CODES = [
    "failed", "drifted", "gone", "bad pictures", "other light", "unreadable", "few pictures", "ok",
]  # fmt: skip


def test_each_kind_is_told_with_what_to_do(tmp_path: Path) -> None:
    lines = fleet(tmp_path).lines
    assert [line.attention for line in lines] == CODES
    said = [line.advice[0] if line.advice else None for line in lines]
    assert said[0] is not None
    assert said[0].commands == ("softpatch fit-many plant -o models --only 'a b/failed'",)
    assert said[1] is not None
    assert said[1].text.startswith(
        "31 of 40 new pictures (62% to 88%) lie outside what 97% of the training pictures lie "
        "within; the model was not fitted again"
    )
    look, accept = said[1].commands
    assert look.startswith("softpatch predict ")
    assert accept == "softpatch fit-many plant -o models --only b/drifted --force"
    assert said[3] is not None
    assert said[3].text == ("3 of 100 stand out; about 10.0% are bad (95 % interval 4.0% to 20.0%)")
    assert said[3].commands[0].startswith("softpatch audit ")
    assert said[4] is not None
    assert said[4].text == (
        "the new pictures are brighter by 10% of the range from black to white and have 2.8 times "
        "weaker fine detail"
    )
    assert said[6] is not None
    assert said[6].text.endswith(
        "about 32 of 1,000 good pictures will be called bad, not the 10 asked for: 30 pictures "
        "cannot promise fewer; 69 more good ones would do"
    )
    assert summary(fleet(tmp_path)).startswith("8 camera(s): 1 failed, 1 drifted, 1 gone, ")


def test_tables_say_the_same(tmp_path: Path) -> None:
    found = fleet(tmp_path)
    written = write_report(found, tmp_path / "deep" / "report")
    assert [path.name for path in written] == list(BEGINNINGS)
    check_results(tmp_path / "deep" / "report", BEGINNINGS)  # else the next would not replace it
    with written[0].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["attention"] for row in rows] == CODES
    assert (rows[1]["new_outside"], rows[1]["new_above_threshold"]) == ("31", "25")
    assert rows[3]["suspects"] == "3"
    assert rows[0]["contamination"] == ""
    content = json.loads(written[1].read_text("utf-8"))
    assert content == json.loads(json.dumps(as_dict(found)))
    assert content["cameras"][1]["drift"]["compared"]["outside"] == 31
    assert content["cameras"][1]["drift"]["verdict"] == "drifted"


def test_a_threshold_of_zero_is_a_threshold(tmp_path: Path) -> None:
    zero = Learned(30, 0.0, (0.0, 0.1), (), 0.0, None)
    one = Visit("a", tmp_path / "a", tmp_path / "a.softpatch", FITTED, learned=zero)
    line = CameraReport(one, ())
    assert (cells(line)["threshold"], cells(line)["bad"][:4]) == ("0", "0.0%")
    written = write_report(Fleet(tmp_path, tmp_path, (line,)), tmp_path / "report")
    [row] = csv.DictReader(written[0].read_text("utf-8").splitlines())
    assert (row["threshold"], row["contamination"]) == ("0.0", "0.0")


@pytest.fixture
def page(tmp_path: Path) -> bytes:
    return write_report(fleet(tmp_path), tmp_path / "report")[2].read_bytes()


def test_page_needs_nothing_beside_it(page: bytes) -> None:
    text = page.decode()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", text)
    assert "@import" not in text
    assert "url(" not in text.lower()
    assert "default-src 'none'" in text
    assert text.count("data:image/jpeg") == 6  # of the drifted camera and of the suspects


def test_page_in_a_browser(page: bytes, tmp_path: Path) -> None:
    found = Browser(tmp_path / "browser").run(
        page,
        """
        const names = () => [...document.querySelectorAll("article:not([hidden]) .name")]
          .map(each => each.textContent);
        const set = (id, change) => { change(document.getElementById(id));
          document.getElementById(id).dispatchEvent(new Event("input", {bubbles: true})); };
        const result = {all: names(), title: document.title,
          wide: document.documentElement.scrollWidth <= innerWidth,
          commands: document.querySelector("article.drifted").querySelectorAll("pre").length,
          open: document.querySelector("article.drifted details").open,
          pictures: [...document.querySelectorAll("img")].filter(each => each.complete).length};
        set("text", input => { input.value = "BRIGHTER"; });
        result.words = names(); set("text", input => { input.value = ""; });
        set("only", input => { input.checked = true; });
        result.only = names().length;
        result.counted = document.getElementById("count").textContent;
        return result;
        """,
    )
    assert found["all"] == [
        "a b/failed", "b/drifted", "c/gone", "d/bad", "e/light", HOSTILE, "g/few", "h/ok",
    ]  # fmt: skip
    assert found["title"] == "Cameras of plant"
    assert found["wide"]
    assert (found["commands"], found["open"]) == (2, True)
    assert found["words"] == ["e/light"]
    assert found["only"] == 7
    assert found["counted"] == "7 of 8 shown"


def test_the_command_to_repeat() -> None:
    given = [
        "fit-many", "my plant", "-o", "m", "--check", "--only", "a", "--only=b", "--report",
        "--report-dir", "r", "--json", "--tau", "0.1", "--force",
    ]  # fmt: skip
    assert _again(given) == "softpatch fit-many 'my plant' -o m --tau 0.1"
